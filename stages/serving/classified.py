"""Classified photos: the most likely classes of each, or the reason why it cannot be used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from slimline.pipeline.progress import progress
from slimline.stages.backend.captions import CLASSIFYING, PHOTOS
from slimline.stages.data.checking.checks import Limits
from slimline.stages.data.checking.input_files import input_files
from slimline.stages.data.checking.usable_photos import LIMITS, count_photos, usable_photos
from slimline.stages.images.faults import Fault
from slimline.stages.models.opened import OpenedModel
from slimline.stages.serving.scored_photos import scored_photos


class Classified(NamedTuple):
    """The most likely classes of a photo, each with its score, best first.

    `unknown` is true if no score reaches `threshold`: then no class should be trusted, and the first guess is only the
    best of them. `threshold` is None if the model has none. A photo that cannot be used has no guesses; `reason` says
    why, and `fault` is the kind of reason. `skipped` is true for files that are not meant as photos, such as a text
    file among them.
    """

    path: str
    guesses: list[tuple[str, float]]
    unknown: bool = False
    reason: str = ""
    threshold: float | None = None
    fault: Fault | None = None
    skipped: bool = False


def classified_photos(
    model: OpenedModel,
    paths: Iterable[Path],
    names: Sequence[str],
    *,
    threshold: float | None,
    top: int,
    batch_size: int,
    limits: Limits = LIMITS,
) -> Iterator[Classified]:
    """Yield the `top` classes of each photo in files and folders, in order, with a progress bar.

    `names` are the classes' names in order. Files that are not meant as photos are yielded too, as skipped.
    """
    files = list(input_files(paths))
    with progress(CLASSIFYING, count_photos(files), PHOTOS) as advance:
        for photo, scores in scored_photos(model, usable_photos(files, limits), batch_size):
            if not photo.skipped:
                advance()
            if scores is None:
                yield Classified(photo.name, [], False, photo.reason, threshold, photo.fault, photo.skipped)
                continue
            best = (-scores).argsort(kind="stable")[:top]
            guesses = [(names[number], float(scores[number])) for number in best]
            unknown = threshold is not None and guesses[0][1] < threshold
            yield Classified(photo.name, guesses, unknown, threshold=threshold)
