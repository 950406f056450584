"""The self-test of a base that knows ImageNet: a known photo must get its known name.

It catches weights that don't belong to the network, pixels in another range, and classes that are off
by one. Which faults it caught on real weights is measured in the tests.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import UserError
from stages.imagenet import photo_path
from stages.model import Card, freeze_classifier
from stages.predict import Predictor

NAME = "palace"
"""What scikit-learn's china.jpg shows, to ImageNet."""


def self_test(card: Card, checkpoint: Path, rank: int) -> str:
    """Classify the known photo; return its name, place and score.

    Raises:
        UserError: the name isn't among the likeliest `rank`.
    """
    [guesses] = Predictor(card, freeze_classifier(card, checkpoint)).top([photo_path().read_bytes()], max(rank, 3))
    for place, guess in enumerate(guesses[:rank], 1):
        if guess.name.partition(",")[0] == NAME:
            return f"{NAME} {guess.score:.3f}" + (f" (place {place})" if place > 1 else "")
    said = ", ".join(f"{guess.name.partition(',')[0]} {guess.score:.2f}" for guess in guesses[:3])
    raise UserError(
        f"{card.network} doesn't recognise the self-test photo, of a {NAME}: it says {said}.",
        f"Its weights ({card.weights}) or its preprocessing don't fit. Is it the right network, multiplier and size?",
        "If its own classes aren't ImageNet's, leave their layer out: base.exclude_scopes, or base.output=null.",
    )
