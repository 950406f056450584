"""Arrays of all members of a stack: a member's columns are adjacent in the last axis, [..., members * width]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def by_member(values: Array, members: int) -> Array:
    """View columns [rows, members * width] as [members, rows, width]."""
    return values.reshape(len(values), members, -1).transpose(1, 0, 2)


def select(values: Array, members: int, kept: Sequence[int]) -> Array:
    """Return the columns of some of the members."""
    chosen = values.reshape(*values.shape[:-1], members, -1)[..., list(kept), :]
    return chosen.reshape(*values.shape[:-1], -1)


def spread(values: Any, width: int) -> Any:
    """Repeat the values [members] for the columns [members * width]; equal values become a scalar, which is faster."""
    array = np.asarray(values, np.float32)
    return array[0] if (array == array[0]).all() else np.repeat(array, width)
