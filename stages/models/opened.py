"""A model that is ready to classify encoded photos, such as a base with its own ImageNet layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slimline.pipeline.errors import UserError
from slimline.stages.backend.tensorflow import tf
from slimline.stages.images.batches import AT_ONCE, padded
from slimline.stages.images.preprocessing import preprocess_batch
from slimline.stages.images.preprocessing_config import Preprocessing
from slimline.stages.models.assemble import freeze_classifier
from slimline.stages.models.card import read_card
from slimline.stages.scoring.probabilities import probabilities


class OpenedModel(NamedTuple):
    """A model's class names, its reject threshold, the source of its base's weights, and its function.

    A model has no threshold, None, if too few photos could choose it; a base has none either.
    `score` maps encoded photos that can be decoded, [batch] bytes, to probabilities [batch, classes]. Several threads
    may call it; up to `at_once` of them make it faster.
    """

    labels: list[str]
    threshold: float | None
    trained: bool
    score: Callable[[Sequence[bytes]], NDArray[Any]]
    at_once: int
    base_weights: str = ""


def open_base(base: Path, batch_size: int) -> OpenedModel:
    """Open a base with its own ImageNet layer, from its artifact's folder.

    Raises:
        UserError: it has no ImageNet layer.
    """
    card = read_card(base)
    if not card.labels:
        raise UserError(
            f"The base {card.network} with weights {card.weights} has no ImageNet layer to classify with.",
            "Choose base.weights=imagenet, or classify with a trained run: classify.model=runs/flowers/latest",
        )
    frozen = freeze_classifier(card, base / "model.ckpt")
    run = padded(lambda images: frozen(tf.constant(images)).numpy(), batch_size)
    prepare = preparer(card.preprocessing)

    def score(encoded: Sequence[bytes]) -> NDArray[Any]:
        return probabilities(run(prepare(encoded)))

    return OpenedModel(card.labels, None, card.trained, score, AT_ONCE, card.weights)


def preparer(wanted: Preprocessing) -> Callable[[Sequence[bytes]], NDArray[np.float32]]:
    """Return a function that preprocesses encoded photos: [batch, side, side, 3] float32."""
    prepare = tf.function(lambda encoded: preprocess_batch(encoded, wanted), autograph=False)
    specification = tf.TensorSpec([None], tf.string)
    prepare = prepare.get_concrete_function(specification)
    return lambda encoded: prepare(tf.constant(list(encoded), tf.string)).numpy()
