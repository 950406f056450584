"""The self-test of a base that knows ImageNet: a known photo must get its known name.

It catches weights that don't belong to the network, pixels in another range, and classes that are off
by one. Which faults it caught on real weights is measured in the tests.
"""

from __future__ import annotations

from pathlib import Path

from slimline.pipeline.errors import UserError
from slimline.stages.imagenet.photo import photo_path
from slimline.stages.models.card import read_card
from slimline.stages.models.opened import open_base

NAME = "palace"
"""What scikit-learn's china.jpg shows, to ImageNet."""


def self_test(base: Path, rank: int) -> str:
    """Classify the known photo by a base's artifact's folder; return its name, place and score.

    Raises:
        UserError: the name isn't among the likeliest `rank`.
    """
    model, card = open_base(base, 1), read_card(base)
    [scores] = model.score([photo_path().read_bytes()])
    best = [(model.labels[number].partition(",")[0], scores[number]) for number in (-scores).argsort(kind="stable")]
    for place, (name, score) in enumerate(best[:rank], 1):
        if name == NAME:
            return f"{NAME} {score:.3f}" + (f" (place {place})" if place > 1 else "")
    said = ", ".join(f"{name} {score:.2f}" for name, score in best[:3])
    raise UserError(
        f"{card.network} doesn't recognise the self-test photo, of a {NAME}: it says {said}.",
        f"Its weights ({card.weights}) or its preprocessing don't fit. Is it the right network, multiplier and size?",
        "If its own classes aren't ImageNet's, leave their layer out: base.exclude_scopes, or base.output=null.",
    )
