"""The self-test of a base with an ImageNet layer: it must name a known photo correctly.

It detects weights of another network, pixels in another range, and classes that are off by one. The tests
measure which faults it detects with real weights.
"""

from __future__ import annotations

from pathlib import Path

from slimline.pipeline.errors import UserError
from slimline.stages.imagenet.photo import photo_path
from slimline.stages.models.card import read_card
from slimline.stages.models.opened import open_base

NAME = "palace"
"""The ImageNet class of scikit-learn's china.jpg."""


def self_test(base: Path, rank: int) -> str:
    """Classify the known photo with the base in an artifact's folder; return its name, place and score.

    Raises:
        UserError: the name isn't among the `rank` most likely ones.
    """
    model, card = open_base(base, 1), read_card(base)
    [scores] = model.score([photo_path().read_bytes()])
    best = [(model.labels[number].partition(",")[0], scores[number]) for number in (-scores).argsort(kind="stable")]
    for place, (name, score) in enumerate(best[:rank], 1):
        if name == NAME:
            return f"{NAME} {score:.3f}" + (f" (place {place})" if place > 1 else "")
    said = ", ".join(f"{name} {score:.2f}" for name, score in best[:3])
    raise UserError(
        f"{card.network} doesn't recognize the self-test photo of a {NAME}: its best names are {said}.",
        f"Check that its weights ({card.weights}) and its preprocessing fit the network, its multiplier and its size.",
        "If its own classes aren't ImageNet's, leave their layer out: base.exclude_scopes, or base.output=null.",
    )
