"""Outcomes: whether a photo is used or why it is not, and how many photos were left out for which kind of reason."""

from __future__ import annotations

from collections import Counter
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from slimline.stages.data.checking.survey import Survey
from slimline.stages.images.faults import Fault

NONE = -1
"""Used instead of a row's number: no other photo."""


class Outcome(IntEnum):
    """Outcome of a photo: used, or why it is not."""

    used = 0
    quarantined = 1
    duplicate = 2
    near_twin = 3
    skipped = 4


def count_left_out(
    survey: Survey, outcomes: NDArray[np.int8], other: NDArray[np.int64], test_copies: NDArray[np.bool_]
) -> Counter[Fault]:
    """Count the photos that are not used by kind of reason.

    `other` [photos] is the row of the photo with the same bytes or looks, or NONE; `test_copies` are the duplicates of
    test photos.
    """
    codes, names = survey.codes("fault")
    own = ((outcomes == Outcome.quarantined) | (outcomes == Outcome.skipped)) & (other == NONE)
    found = Counter({Fault(name): int((codes[own] == code).sum()) for code, name in enumerate(names)})
    found[Fault.unlabeled] += int((codes[own] < 0).sum())
    found[Fault.labeled_twice] = int(((outcomes == Outcome.quarantined) & (other != NONE)).sum())
    duplicates = outcomes == Outcome.duplicate
    found[Fault.test_duplicate] = int((duplicates & test_copies).sum())
    found[Fault.duplicate] = int((duplicates & ~test_copies).sum())
    found[Fault.near_twin] = int((outcomes == Outcome.near_twin).sum())
    return +found
