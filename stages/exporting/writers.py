"""Writers of the export formats."""

from __future__ import annotations

import logging
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

from slimline.pipeline.errors import UserError
from slimline.stages.backend.tensorflow import quiet_stderr, tf
from slimline.stages.exporting.failures import failing
from slimline.stages.models.card import Card
from slimline.stages.models.description import Description, description_json
from slimline.stages.models.formats import FILES, LITERT, Format
from slimline.stages.networks.graphs.folding import read_frozen

OPSET = 17
"""The ONNX operator set; ONNX Runtime supports it since version 1.12 (2022)."""


class Material(NamedTuple):
    """The inputs of an export.

    `saved_model` is the folder of the evaluated model, `frozen` the file of its network as a GraphDef, from images to
    logits. `samples()` yields preprocessed training photos, [side, side, 3] float32, to calibrate int8's value ranges.
    """

    card: Card
    description: Description
    saved_model: Path
    frozen: Path
    samples: Callable[[], Iterator[NDArray[Any]]]


def write_format(one: Format, material: Material, folder: Path) -> Path:
    """Write a model in a format; return its file or folder.

    Raises:
        FormatFailed: the network cannot be converted.
        UserError: the format's package cannot be imported.
    """
    path = folder / FILES[one]
    if one is Format.saved_model:
        shutil.copytree(material.saved_model, path, dirs_exist_ok=True)
    elif one is Format.frozen_graph:
        shutil.copyfile(material.frozen, path)
    elif one in LITERT:
        path.write_bytes(_litert(one, material))
    else:
        path.write_bytes(_onnx(material))
    return path


def _litert(one: Format, material: Material) -> bytes:
    """Convert to LiteRT: one image per call, as on a phone; with int8, inputs and outputs are int8 too."""
    logits = read_frozen(material.frozen)
    side_px = material.card.preprocessing.input_px
    image = tf.TensorSpec([1, side_px, side_px, 3], tf.float32, name="image")
    function = tf.function(lambda image: logits(image), input_signature=[image], autograph=False)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], tf.Module())
    if one is not Format.litert:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if one is Format.litert_float16:
        converter.target_spec.supported_types = [tf.float16]
    if one is Format.litert_int8:
        converter.representative_dataset = lambda: ([sample[None]] for sample in material.samples())
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    with failing("converted"), _quiet():
        converted: bytes = converter.convert()
    return converted


def _onnx(material: Material) -> bytes:
    """Convert to ONNX, from `image` [batch, side, side, 3] float32 to `logits`, with the description as metadata."""
    try:
        with _quiet():
            from tf2onnx import convert
    except ImportError as error:
        raise UserError(
            f"export.formats=onnx needs the package tf2onnx, which cannot be imported: {error}.",
            "Install it again: pip install --force-reinstall tf2onnx onnx",
        ) from error
    graph_def = tf.compat.v1.GraphDef.FromString(material.frozen.read_bytes())
    with failing("converted"), _quiet():
        model, _ = convert.from_graph_def(graph_def, input_names=["input:0"], output_names=["output:0"], opset=OPSET)
    entry = model.metadata_props.add()
    entry.key, entry.value = "slimline", description_json(material.description)
    converted: bytes = model.SerializeToString()
    return converted


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the messages and warnings that converters print on every conversion."""
    level = logging.getLogger("tf2onnx").level
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), quiet_stderr():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.getLogger("tf2onnx").setLevel(level)
