"""Calibration: a temperature for the logits, and a score below which photos are rejected."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slimline.pipeline.artifact import write_json
from slimline.stages.scoring.metrics import proper_scores
from slimline.stages.scoring.probabilities import probabilities
from slimline.stages.scoring.sample_sizes import enough_to_calibrate

FILE = "calibration.json"
TEMPERATURES = 0.05, 20.0


class Calibration(NamedTuple):
    """The divisor of a model's logits, and the lowest score that is accepted; None accepts all scores."""

    temperature: float = 1.0
    threshold: float | None = None

    def measured(self, targets: NDArray[Any], scores: NDArray[Any]) -> dict[str, Any]:
        """Measure the threshold on calibrated probabilities [count, classes].

        `accepted` is the share of photos that aren't rejected; `accepted_precision` is the share of these that are
        classified correctly, None if all are rejected.
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
    """Fit the temperature, and the threshold for a precision, to the validation logits [count, classes].

    Fewer than 50 photos calibrate nothing: the temperature stays 1 and no photo is rejected. Without a precision, or
    if no score has it, there is no threshold either.

    For heads trained on 33 to 63 flower photos, a temperature of 1 gave a mean log loss of 0.21 to 0.65 on new photos;
    one fitted to 7 to 12 validation photos 0.71 to 1.50; one fitted to the training photos, cross-validated, 0.29 to
    0.67 (`benchmarks/small_calibration.py`).
    """
    if not enough_to_calibrate(len(labels)):
        return Calibration()
    temperature = fit_temperature(logits, labels)
    if precision is None:
        return Calibration(temperature)
    scores = probabilities(logits / temperature)
    return Calibration(temperature, reject_threshold(scores.max(axis=1), scores.argmax(axis=1) == labels, precision))


def write_calibration(folder: Path, calibration: Calibration) -> None:
    """Write a calibration into an artifact's folder."""
    write_json(folder / FILE, calibration._asdict())


def read_calibration(folder: Path) -> Calibration:
    """Read a calibration from an artifact's folder."""
    return Calibration(**json.loads((folder / FILE).read_text(encoding="utf-8")))


def fit_temperature(logits: NDArray[Any], labels: NDArray[Any]) -> float:
    """Return the temperature in [0.05, 20] that gives logits [count, classes] the highest likelihood.

    It doesn't change the most likely class. Source: Guo et al. 2017, https://arxiv.org/abs/1706.04599, section 4.2.
    """
    from scipy.optimize import minimize_scalar  # takes 0.3 s, and reading a calibration doesn't need it

    def loss(logarithm: float) -> float:
        return proper_scores(labels, probabilities(logits / np.exp(logarithm)))["log_loss"]

    # In the logarithm, where 1/2 and 2 are equally far from 1; the loss has one minimum in the temperature's inverse.
    found = minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))


def reject_threshold(scores: NDArray[Any], right: NDArray[np.bool_], precision: float) -> float | None:
    """Return the lowest of `scores` [count] for which the scores at or above it have this precision; None if none has.

    `right` [count] says which photos are classified correctly. Photos with equal scores are on the same side.
    """
    order = np.argsort(-scores, kind="stable")
    sorted_scores = scores[order]
    shares = np.cumsum(right[order]) / np.arange(1, len(scores) + 1)
    last = np.append(sorted_scores[1:] < sorted_scores[:-1], True)
    reached = np.flatnonzero((shares >= precision) & last)
    return float(sorted_scores[reached[-1]]) if len(reached) else None
