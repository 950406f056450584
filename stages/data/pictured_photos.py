"""Photos shown on the dataset page: examples of each class, quarantined photos, and pairs that look the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import numpy as np
from PIL import ImageFile

from slimline.stages.data.checking.survey import Survey
from slimline.stages.data.splitting.outcomes import Outcome
from slimline.stages.data.splitting.selection import Selection
from slimline.stages.data.storing.pictures import Picture, Role
from slimline.stages.images.files import read_header
from slimline.stages.images.thumbnail import thumbnail

SIDE_PX = 112
PER_CLASS, MOST_EXAMPLES, MOST_QUARANTINED, MOST_PAIRS = 8, 160, 24, 24
MOST_PIXELS = 50_000_000


def pictured_photos(survey: Survey, selection: Selection) -> Iterator[Picture]:
    """Yield small pictures, at most 112 px per side; the survey's photos must still be readable.

    These are at most PER_CLASS examples of each class, spread over the source's order, and MOST_EXAMPLES in all; the
    first MOST_QUARANTINED quarantined photos; and both photos of the first MOST_PAIRS pairs that look the same, pairs
    with two labels first. Photos that can't be shown are left out.
    """

    @cache
    def small(row: int) -> bytes | None:
        return _small(survey, row)

    for row in _examples(selection):
        if jpeg := small(row):
            yield Picture(row, Role.example, jpeg)
    for row in np.flatnonzero(selection.outcomes == Outcome.quarantined)[:MOST_QUARANTINED].tolist():
        with _truncated_allowed():
            jpeg = _small(survey, row)
        if jpeg:
            yield Picture(row, Role.quarantined, jpeg)
    for pair in _pairs(selection):
        for row, other in (pair, pair[::-1]):
            if jpeg := small(row):
                yield Picture(row, Role.twin, jpeg, other)


def _examples(selection: Selection) -> Iterator[int]:
    used = np.flatnonzero(selection.outcomes == Outcome.used)
    each = max(1, min(PER_CLASS, MOST_EXAMPLES // len(selection.classes)))
    for label in range(min(len(selection.classes), MOST_EXAMPLES)):
        own = used[selection.labels[used] == label]
        yield from own[np.linspace(0, len(own) - 1, min(each, len(own))).astype(int)].tolist()


def _pairs(selection: Selection) -> Iterator[tuple[int, int]]:
    first, second, bits = selection.pairs
    agrees = selection.labels[first] == selection.labels[second]
    for index in np.lexsort((second, first, bits, agrees))[:MOST_PAIRS]:
        yield int(first[index]), int(second[index])


def _small(survey: Survey, row: int) -> bytes | None:
    try:
        encoded = survey.read(row)
        read_header(encoded, MOST_PIXELS, 1 << 30)
        return thumbnail(encoded, SIDE_PX)
    except Exception:  # Pillow raises a dozen kinds of errors for damaged photos, and the page works without them
        return None


@contextmanager
def _truncated_allowed() -> Iterator[None]:
    """Make Pillow decode as much of a truncated file as it can."""
    before = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before
