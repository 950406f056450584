"""SavedModels that take encoded images and give names and probabilities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from stages.data.preprocessing import preprocess_batch
from stages.model import Card
from stages.networks.folding import read_frozen
from stages.tensorflow import tf


def write_saved_model(folder: Path, card: Card, frozen: Path) -> None:
    """Write a frozen model with its preprocessing before it; the default signature takes `image_bytes`."""
    logits = read_frozen(frozen)
    names = tf.Variable(card.labels, trainable=False)

    def serve(image_bytes: Any) -> dict[str, Any]:
        scores = tf.nn.softmax(logits(preprocess_batch(image_bytes, card.preprocessing)))
        return {"names": tf.tile(names[None], [tf.shape(scores)[0], 1]), "probabilities": scores}

    module = tf.Module()
    module.logits, module.labels = logits, names
    specification = tf.TensorSpec([None], tf.string, name="image_bytes")
    module.serve = tf.function(serve, input_signature=[specification], autograph=False)
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.serve})


class SavedModel:
    """A loaded SavedModel: call it with encoded images [batch] strings for probabilities [batch, classes]."""

    def __init__(self, folder: Path) -> None:
        self._loaded = tf.saved_model.load(str(folder))
        self._signature = self._loaded.signatures["serving_default"]
        self.labels: list[str] = [name.decode() for name in self._loaded.labels.numpy()]

    def __call__(self, encoded: Any) -> NDArray[Any]:
        scores: NDArray[Any] = self._signature(image_bytes=tf.convert_to_tensor(encoded))["probabilities"].numpy()
        return scores
