"""SavedModels that take encoded images and return class names and probabilities."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimline.pipeline.artifact import content_digest
from slimline.pipeline.errors import UserError
from slimline.stages.backend.tensorflow import tf
from slimline.stages.images.preprocessing import preprocess_batch
from slimline.stages.models.card import Card, input_shape
from slimline.stages.networks.architectures.head_scope import SCOPE
from slimline.stages.networks.graphs.folding import folded_kernels, read_frozen_constants, read_frozen_with_features
from slimline.stages.networks.weights.user_weights import RANDOM
from slimline.stages.scoring.calibration import Calibration


def write_saved_model(
    folder: Path, card: Card, frozen: Path, values: Mapping[str, Any], calibration: Calibration
) -> None:
    """Write a frozen model together with its preprocessing; the default signature takes `image_bytes`.

    It returns `names` and calibrated `probabilities` [batch, classes], and the `logits` before calibration; the reject
    threshold is stored too. The signatures `image` and `features` take preprocessed images [batch, side, side, 3]
    float32. They return `logits`, and `features` [batch, width], the bottleneck, which is the head's input.

    `values` are the variables that it was frozen from. Those of the batch norms, which are folded into the
    convolutions, are stored too, so that `read_saved_weights` can separate them again.
    """
    both = read_frozen_with_features(frozen, SCOPE)
    names = tf.Variable(card.labels, trainable=False)

    def serve(image_bytes: Any) -> dict[str, Any]:
        logits = both(preprocess_batch(image_bytes, card.preprocessing))[0]
        scores = tf.nn.softmax(logits / calibration.temperature)
        return {"names": tf.tile(names[None], [tf.shape(scores)[0], 1]), "probabilities": scores, "logits": logits}

    def serve_image(image: Any) -> dict[str, Any]:
        return {"logits": both(image)[0]}

    def serve_features(image: Any) -> dict[str, Any]:
        features = both(image)[1]
        return {"features": sum(tf.split(features, 2)) / 2 if card.flips else features}

    module = tf.Module()
    module.labels = names
    module.base_weights = tf.Variable(card.weights, trainable=False)
    module.variable_names = tf.Variable(sorted(values), trainable=False, dtype=tf.string)
    kept, scales = _batch_norms(read_frozen_constants(frozen), values)
    module.packed_batch_norms = tf.Variable(_packed(kept), trainable=False)
    module.packed_scales = tf.Variable(_packed(scales), trainable=False)
    specification = tf.TensorSpec([None], tf.string, name="image_bytes")
    module.serve = tf.function(serve, input_signature=[specification], autograph=False)
    image = tf.TensorSpec([None, *input_shape(card)], tf.float32, name="image")
    module.serve_image = tf.function(serve_image, input_signature=[image], autograph=False)
    module.reject_threshold = tf.Variable(calibration.threshold or 0.0, trainable=False, dtype=tf.float64)
    module.serve_features = tf.function(serve_features, input_signature=[image], autograph=False)
    signatures = {"serving_default": module.serve, "image": module.serve_image, "features": module.serve_features}
    tf.saved_model.save(module, str(folder), signatures=signatures)


def _batch_norms(
    constants: Mapping[str, NDArray[Any]], values: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return the variables that aren't constants, and the scale of each folded kernel, by channel."""
    folded = folded_kernels(constants, values)
    kept = {name: value for name, value in values.items() if name not in constants and name not in folded}
    scales = {}
    for name, kernel in folded.items():
        axes = _channel_axes(name)
        # The channel's scale by least squares: exact up to rounding, for any epsilon of the layer.
        norm = np.sum(np.square(values[name], dtype=np.float64), axis=axes)
        products = np.sum(np.multiply(kernel, values[name], dtype=np.float64), axis=axes)
        scales[name] = (products / np.where(norm, norm, 1)).astype(np.float32)
    return kept, scales


def _packed(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Pack arrays into one byte string, in NumPy's own format (.npz).

    To save and load EfficientNet-Lite0 with a variable for each of its 245 arrays would take 1.6 s longer.
    """
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    return file.getvalue()


def _unpacked(variable: Any) -> dict[str, NDArray[Any]]:
    with np.load(io.BytesIO(variable.numpy())) as arrays:
        return dict(arrays)


def _channel_axes(kernel: str) -> tuple[int, ...]:
    """Return a kernel's axes without the channel axis that a batch norm scales."""
    return (0, 1, 3) if kernel.endswith("depthwise_weights") else (0, 1, 2)


def read_saved_weights(folder: Path) -> dict[str, NDArray[Any]]:
    """Read the variables of one of Slimline's SavedModels by name, with batch norms separated from convolutions.

    Raises:
        UserError: Slimline didn't write the SavedModel.
    """
    loaded = tf.saved_model.load(str(folder))
    if not hasattr(loaded, "packed_batch_norms"):
        raise UserError(
            f"{folder} is a SavedModel, but not one with weights that Slimline wrote.", "Use a checkpoint instead."
        )
    names = {name.decode() for name in loaded.variable_names.numpy()}
    values, scales = _unpacked(loaded.packed_batch_norms), _unpacked(loaded.packed_scales)
    library = loaded.signatures["serving_default"].graph.as_graph_def().library
    constants = {
        node.name: tf.make_ndarray(node.attr["value"].tensor)
        for function in library.function
        for node in function.node_def
        if node.op == "Const"
    }
    for name, kernel in folded_kernels(constants, names).items():
        scale = np.expand_dims(scales[name], _channel_axes(name))
        values[name] = np.divide(kernel, scale, out=np.zeros_like(kernel), where=scale != 0)
    return {**values, **{name: constants[name] for name in names & set(constants)}}


_opened: dict[str, SavedModel] = {}
"""The SavedModel that was loaded last, by its content."""


def open_saved_model(folder: Path) -> SavedModel:
    """Load a SavedModel, or return the last one if it has the same content, in any folder.

    Loading EfficientNet-Lite0 and its first run take 1.5 s, and evaluation, export and report all need it.
    """
    digest = content_digest(folder, {})
    if digest not in _opened:
        _opened.clear()
        _opened[digest] = SavedModel(folder)
    return _opened[digest]


class SavedModel:
    """A loaded SavedModel: call it with encoded images [batch] strings for probabilities [batch, classes]."""

    def __init__(self, folder: Path) -> None:
        self._loaded = tf.saved_model.load(str(folder))
        self._signature = self._loaded.signatures["serving_default"]
        self.labels: list[str] = [name.decode() for name in self._loaded.labels.numpy()]
        self.base_weights: str = self._loaded.base_weights.numpy().decode()
        self.trained = self.base_weights != RANDOM
        kept = getattr(self._loaded, "reject_threshold", None)  # exports of older versions have none
        self.reject_threshold = 0.0 if kept is None else float(kept.numpy())

    def __call__(self, encoded: Any) -> NDArray[Any]:
        return self._run(encoded, "probabilities")

    def logits(self, encoded: Any) -> NDArray[Any]:
        """Return the logits before calibration: [batch, classes]; exports of older versions have none."""
        return self._run(encoded, "logits")

    def _run(self, encoded: Any, output: str) -> NDArray[Any]:
        values: NDArray[Any] = self._signature(image_bytes=tf.convert_to_tensor(encoded))[output].numpy()
        return values
