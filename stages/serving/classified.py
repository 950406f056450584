"""Classified photos: the most likely classes of each, or the reason why it cannot be used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from slimline.pipeline.progress import progress
from slimline.stages.backend.captions import CLASSIFYING, PHOTOS
from slimline.stages.data.checking.usable_photos import count_photos, usable_photos
from slimline.stages.models.opened import OpenedModel
from slimline.stages.serving.scored_photos import scored_photos


class Classified(NamedTuple):
    """The most likely classes of a photo, each with its score, best first.

    `unknown` is true if no score reaches `threshold`: then the best guess should not be trusted. A photo that cannot be
    used has no guesses, and `reason` says why.
    """

    path: str
    guesses: list[tuple[str, float]]
    unknown: bool = False
    reason: str = ""
    threshold: float = 0.0


def classified_photos(
    model: OpenedModel, paths: Sequence[Path], names: Sequence[str], *, threshold: float, top: int, batch_size: int
) -> Iterator[Classified]:
    """Yield the `top` classes of each photo, in order, with a progress bar; `names` are the classes' names in order."""
    with progress(CLASSIFYING, count_photos(paths), PHOTOS) as advance:
        for photo, scores in scored_photos(model, usable_photos(paths), batch_size):
            advance()
            if scores is None:
                yield Classified(photo.name, [], reason=photo.reason, threshold=threshold)
                continue
            best = (-scores).argsort(kind="stable")[:top]
            guesses = [(names[number], float(scores[number])) for number in best]
            yield Classified(photo.name, guesses, unknown=guesses[0][1] < threshold, threshold=threshold)
