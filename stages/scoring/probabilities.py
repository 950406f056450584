"""From logits to probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def probabilities(logits: NDArray[Any]) -> NDArray[Any]:
    """Return the softmax over the last axis, in float64."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    result: NDArray[Any] = shifted / shifted.sum(axis=-1, keepdims=True)
    return result
