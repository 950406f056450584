"""Folds for cross-validation: each photo is in one, and no class is in a single fold."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slimline.stages.data.splitting.held import Held


class Folds(NamedTuple):
    """The fold of each unit, and whether it may change when photos are added."""

    folds: NDArray[np.int64]
    provisional: NDArray[np.bool_]


def unit_folds(places: NDArray[np.float64], held: Held, folds: int) -> Folds:
    """Assign units to folds by their positions in [0, 1); the result does not depend on which fold is tested.

    A class whose units are all in one fold could not be trained on when that fold is tested. Its unit with the lowest
    position that other classes can spare moves to the next fold, and is marked provisional, as are the units before it.
    A class of a single unit stays as it is.
    """
    found = np.minimum((places * folds).astype(np.int64), folds - 1)
    provisional = np.zeros(len(places), bool)
    for label in np.unique(held.labels):
        own = held.units_of(label)
        if len(own) < 2 or len(np.unique(found[own])) > 1:
            continue
        for unit in own[np.argsort(places[own], kind="stable")]:
            provisional[unit] = True
            moved = found.copy()
            moved[unit] = (found[unit] + 1) % folds
            if all(len(np.unique(moved[held.units_of(one)])) > 1 for one in held.labels_of(unit)):
                found = moved
                break
    return Folds(found, provisional)
