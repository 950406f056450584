"""Probabilities that mean what they say: a temperature for the logits, and a score below which nothing is named."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slimline.pipeline.artifact import write_json
from slimline.stages.scoring.metrics import proper_scores
from slimline.stages.scoring.probabilities import probabilities

log = logging.getLogger(__name__)

FILE = "calibration.json"
TEMPERATURES = 0.05, 20.0


class Calibration(NamedTuple):
    """What a model's logits are divided by, and the least score that counts; without a threshold all do."""

    temperature: float = 1.0
    threshold: float | None = None

    def measured(self, targets: NDArray[Any], scores: NDArray[Any]) -> dict[str, Any]:
        """Say what the threshold comes to on photos of calibrated probabilities [count, classes].

        `accepted` is the share of photos that are named, `accepted_precision` the share of these that are named right;
        None where none is.
        """
        kept = scores.max(axis=1) >= (self.threshold or 0.0)
        right = scores.argmax(axis=1) == targets
        return {
            "temperature": self.temperature,
            "reject_threshold": self.threshold,
            "accepted": float(kept.mean()),
            "accepted_precision": float(right[kept].mean()) if kept.any() else None,
        }


def calibrate(logits: NDArray[Any], labels: NDArray[Any], precision: float | None) -> Calibration:
    """Fit to validation's logits [count, classes]: the likeliest temperature, and the threshold of a precision."""
    temperature = fit_temperature(logits, labels)
    if precision is None:
        return Calibration(temperature)
    scores = probabilities(logits / temperature)
    threshold = reject_threshold(scores.max(axis=1), scores.argmax(axis=1) == labels, precision)
    if threshold is None:
        log.warning(
            "evaluate  no score separates %.1f%% of right names on validation: nothing is rejected", 100 * precision
        )
    return Calibration(temperature, threshold)


def write_calibration(folder: Path, calibration: Calibration) -> None:
    """Write a calibration into an artifact's folder."""
    write_json(folder / FILE, calibration._asdict())


def read_calibration(folder: Path) -> Calibration:
    """Read a calibration from an artifact's folder."""
    return Calibration(**json.loads((folder / FILE).read_text(encoding="utf-8")))


def fit_temperature(logits: NDArray[Any], labels: NDArray[Any]) -> float:
    """Return what logits [count, classes] must be divided by for the likeliest probabilities, in [0.05, 20].

    It changes no name. Source: Guo et al. 2017, https://arxiv.org/abs/1706.04599, section 4.2.
    """
    from scipy.optimize import minimize_scalar  # 0.3 s: who reads a calibration does without

    def loss(logarithm: float) -> float:
        return proper_scores(labels, probabilities(logits / np.exp(logarithm)))["log_loss"]

    # In the logarithm, as a half and a double are as far from 1; the loss has one minimum in the temperature's inverse.
    found = minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))


def reject_threshold(scores: NDArray[Any], right: NDArray[np.bool_], precision: float) -> float | None:
    """Return the least score [count] such that of the names at or above it that share is right; None if none is.

    All photos of equal scores are on the same side.
    """
    order = np.argsort(-scores, kind="stable")
    sorted_scores = scores[order]
    shares = np.cumsum(right[order]) / np.arange(1, len(scores) + 1)
    last = np.append(sorted_scores[1:] < sorted_scores[:-1], True)
    reached = np.flatnonzero((shares >= precision) & last)
    return float(sorted_scores[reached[-1]]) if len(reached) else None
