"""Scores of validation photos from their logits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimline.stages.scoring.probabilities import probabilities


def validation_scores(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> dict[str, Any]:
    """Return the mean cross-entropy, in nats, and the accuracy of logits [..., count, classes] for labels [count].

    Both are float64 [...]: one number for each model.
    """
    chances = np.take_along_axis(probabilities(logits), labels[:, None][(None,) * (logits.ndim - 2)], -1)[..., 0]
    return {
        "validation_loss": 0.0 - np.mean(np.log(np.maximum(chances, 1e-300)), axis=-1),  # never -0.0, and NaN stays
        "validation_accuracy": np.mean(logits.argmax(axis=-1) == labels, axis=-1),
    }
