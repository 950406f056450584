"""Metrics on a case small enough to count by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from stages.metrics import classification_metrics, expected_calibration_error

SCORES = np.array([[0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.1, 0.2, 0.7]])
TARGETS = np.array([0, 1, 1, 2])


def test_classification_metrics():
    metrics = classification_metrics(TARGETS, SCORES, ["a", "b", "c"])
    assert metrics["top1"] == 0.75
    assert metrics["top5"] == 1.0
    assert metrics["balanced_accuracy"] == pytest.approx((1 + 0.5 + 1) / 3)
    assert metrics["log_loss"] == pytest.approx(-np.mean(np.log([0.8, 0.3, 0.7, 0.7])))
    assert metrics["confusion_matrix"] == [[1, 0, 0], [1, 1, 0], [0, 0, 1]]
    assert metrics["per_class"]["a"] == {"precision": 0.5, "recall": 1.0, "f1": pytest.approx(2 / 3), "support": 1}


def test_calibration_error_weighs_each_bins_gap():
    # Confidences 0.8, 0.6, 0.7, 0.7 of which all but the second are right; 0.7 twice shares a bin.
    assert expected_calibration_error(TARGETS, SCORES) == pytest.approx((0.2 + 0.6 + 0.6) / 4)
    assert not math.isnan(expected_calibration_error(TARGETS[:1], SCORES[:1]))


def test_a_class_without_test_photos_is_no_error():
    metrics = classification_metrics(np.array([0, 1]), SCORES[[0, 2]], ["a", "b", "c"])
    assert metrics["per_class"]["c"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0}
