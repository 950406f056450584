"""Metrics of a small case, compared with counts by hand, and intervals with their known properties."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from sklearn.metrics import log_loss

from slimline.stages.scoring.intervals import wilson_interval
from slimline.stages.scoring.metrics import classification_metrics, confidence_intervals, proper_scores

LABELS = ["a", "b", "c"]
SCORES = np.array([[0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.1, 0.2, 0.7]])
TARGETS = np.array([0, 1, 1, 2])


def test_classification_metrics():
    metrics = classification_metrics(TARGETS, SCORES, LABELS, top=(2, 5))
    assert metrics["count"] == 4
    assert metrics["top1"] == 0.75
    assert metrics["top2"] == 1.0
    assert {name for name in metrics if name.startswith("top")} == {"top1", "top2"}  # all of 3 classes are the top 5
    assert metrics["balanced_accuracy"] == pytest.approx((1 + 0.5 + 1) / 3)
    assert metrics["log_loss"] == pytest.approx(-np.mean(np.log([0.8, 0.3, 0.7, 0.7])))
    assert metrics["confusion_matrix"] == [[1, 0, 0], [1, 1, 0], [0, 0, 1]]
    assert metrics["macro"] == pytest.approx({"precision": 2.5 / 3, "recall": 2.5 / 3, "f1": (4 / 3 + 1) / 3})
    assert metrics["weighted"] == pytest.approx({"precision": 3.5 / 4, "recall": 0.75, "f1": (2 / 3 * 3 + 1) / 4})
    assert metrics["macro_f1"] == metrics["macro"]["f1"]
    assert metrics["per_class"]["a"] == {
        "precision": 0.5,
        "recall": 1.0,
        "f1": pytest.approx(2 / 3),
        "roc_auc": 1.0,
        "average_precision": 1.0,
        "support": 1,
        "precision_interval": wilson_interval(1, 2),
        "recall_interval": wilson_interval(1, 1),
    }
    assert metrics["per_class"]["b"]["roc_auc"] == 1.0  # 0.3 and 0.7 are both over 0.1 and 0.2


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_top_k_needs_more_than_k_classes(classes):
    targets = np.arange(classes)
    metrics = classification_metrics(targets, np.eye(classes), [f"c{number}" for number in targets], top=(2, 3, 5))
    assert {name for name in metrics if name.startswith("top")} == {"top1", *(f"top{k}" for k in (2, 3) if k < classes)}


def test_the_area_under_the_curve_counts_the_pairs_in_order():
    targets, scores = np.array([0, 0, 1, 1, 1]), np.array([0.9, 0.4, 0.8, 0.3, 0.2])
    metrics = classification_metrics(targets, np.column_stack([scores, 1 - scores]), ["a", "b"])
    assert metrics["per_class"]["a"]["roc_auc"] == pytest.approx(5 / 6)  # one of six pairs is wrong: 0.4 before 0.8
    assert metrics["per_class"]["a"]["average_precision"] == pytest.approx((1 / 1 + 2 / 3) / 2)
    assert metrics["roc_auc"] == pytest.approx(5 / 6)


def test_proper_scores():
    found = proper_scores(TARGETS, SCORES)
    own = [0.2**2 + 2 * 0.1**2, 0.6**2 + 0.7**2 + 0.1**2, 0.2**2 + 0.3**2 + 0.1**2, 0.1**2 + 0.2**2 + 0.3**2]
    assert found == pytest.approx({"log_loss": log_loss(TARGETS, SCORES), "brier": np.mean(own)})
    assert math.isfinite(proper_scores(np.array([0]), np.array([[0.0, 1.0]]))["log_loss"])


def test_calibration_error_weighs_each_bins_gap():
    metrics = classification_metrics(TARGETS, SCORES, LABELS)
    # Confidences 0.8, 0.6, 0.7, 0.7; all but the second are right. Both 0.7 are in the same bin.
    assert metrics["calibration_error"] == pytest.approx((0.2 + 0.6 + 0.6) / 4)
    assert [row["count"] for row in metrics["calibration"]] == [1, 2, 1]
    assert [row["confidence"] for row in metrics["calibration"]] == pytest.approx([0.6, 0.7, 0.8])
    assert [row["accuracy"] for row in metrics["calibration"]] == [0.0, 1.0, 1.0]


def test_a_class_without_test_photos_is_not_an_error():
    metrics = classification_metrics(np.array([0, 1]), SCORES[[0, 2]], LABELS)
    nothing = {"precision": 0.0, "recall": 0.0, "f1": 0.0, "roc_auc": None, "average_precision": None, "support": 0}
    assert metrics["per_class"]["c"] == {**nothing, "precision_interval": None, "recall_interval": None}
    assert metrics["macro_f1"] == metrics["balanced_accuracy"] == metrics["roc_auc"] == 1.0
    alone = classification_metrics(np.array([0]), SCORES[:1], LABELS)
    assert alone["roc_auc"] is alone["average_precision"] is None


def test_the_interval_of_an_accuracy_is_binomial():
    right = np.arange(1000) < 900
    targets = np.zeros(1000, np.int64)
    scores = np.where(right[:, None], [0.9, 0.1], [0.2, 0.8])
    found = confidence_intervals(targets, scores, 0, 4000)
    spread = 1.96 * math.sqrt(0.9 * 0.1 / 1000)
    assert found["top1"] == pytest.approx((0.9 - spread, 0.9 + spread), abs=0.002)
    assert found["balanced_accuracy"] == pytest.approx(found["top1"])  # there is only one class
    losses = -np.log(np.where(right, 0.9, 0.2))
    error = 1.96 * losses.std() / math.sqrt(1000)
    assert found["log_loss"] == pytest.approx((losses.mean() - error, losses.mean() + error), abs=0.01)


def test_intervals_depend_on_the_seed_and_not_on_the_chunk_size(monkeypatch):
    once = confidence_intervals(TARGETS, SCORES, 1, 200)
    monkeypatch.setattr("slimline.stages.scoring.metrics.RESAMPLES_AT_ONCE", 28)  # seven resamples
    assert confidence_intervals(TARGETS, SCORES, 1, 200) == once
    assert confidence_intervals(TARGETS, SCORES, 2, 200) != once


def test_a_balanced_interval_weights_classes_equally():
    # Class a: 99 of 99 right. Class b: one photo, wrong, which says little of its share: 0% to 79%.
    targets = np.array([0] * 99 + [1])
    scores = np.tile([0.9, 0.1], (100, 1))
    found = confidence_intervals(targets, scores, 0, 500)
    assert found["balanced_accuracy"] == pytest.approx((0.5, 0.897), abs=0.02)
    assert found["top1"][0] > 0.94


def test_all_right_is_not_certain():
    targets, scores = np.zeros(26, np.int64), np.tile([1.0, 0.0], (26, 1))
    found = confidence_intervals(targets, scores, 0, 200)
    assert found["top1"] == found["balanced_accuracy"] == pytest.approx((0.8713, 1.0), abs=1e-4)


def test_scores_of_nan_probabilities_are_nan():
    found = proper_scores(np.array([0, 1]), np.full([2, 2], np.nan))
    assert all(np.isnan(value) for value in found.values())


def test_no_score_is_a_negative_zero():
    """The mean of -log(1) is -0.0, which was shown as a log loss of -0.000."""
    targets, scores = np.zeros(3, np.int64), np.tile([1.0, 0.0], (3, 1))
    metrics = classification_metrics(targets, scores, ["a", "b"])
    shown = json.dumps({**metrics, "intervals": confidence_intervals(targets, scores, 0, 100)})
    assert "-0" not in shown
