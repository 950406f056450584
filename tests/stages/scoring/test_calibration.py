"""Temperature and reject threshold, compared with their values by construction."""

from __future__ import annotations

import numpy as np
import pytest

from slimline.stages.scoring.calibration import (
    Calibration,
    calibrate,
    fit_temperature,
    read_calibration,
    reject_threshold,
    write_calibration,
)
from slimline.stages.scoring.probabilities import probabilities


@pytest.fixture(scope="module")
def calibrated():
    """Logits of 20,000 photos, and labels that are drawn from the logits' probabilities."""
    draw = np.random.default_rng(0)
    logits = draw.normal(0, 2, (20_000, 4))
    chances = probabilities(logits).cumsum(axis=1)
    return logits, (draw.random((20_000, 1)) > chances).sum(axis=1)


@pytest.mark.parametrize("factor", [0.3, 1.0, 3.0])
def test_the_temperature_is_the_factor_of_the_logits(calibrated, factor):
    logits, labels = calibrated
    assert fit_temperature(factor * logits, labels) == pytest.approx(factor, rel=0.03)


def test_logits_that_are_never_wrong_have_the_lowest_temperature():
    assert fit_temperature(np.eye(3), np.arange(3)) == pytest.approx(0.05, rel=0.01)


@pytest.mark.parametrize(
    ("precision", "threshold"),
    [(1.0, 0.9), (0.8, 0.5), (0.79, 0.5), (0.6, 0.3), (0.0, 0.2)],
)
def test_the_threshold_is_the_lowest_that_reaches_the_precision(precision, threshold):
    # In order of decreasing score, the shares are 1, 1, then 4/5 after the three scores of 0.5, 4/6 and 4/7.
    scores = np.array([0.5, 0.9, 0.5, 0.95, 0.5, 0.3, 0.2])
    right = np.array([True, True, False, True, True, False, False])
    assert reject_threshold(scores, right, precision) == threshold


def test_no_threshold_reaches_an_impossible_precision():
    assert reject_threshold(np.array([0.9, 0.8]), np.array([False, True]), 0.9) is None


def test_with_an_unreachable_precision_nothing_is_rejected():
    logits = np.tile([[2.0, 0.0], [1.0, 0.0]], (25, 1))
    found = calibrate(logits, np.ones(50, int), 0.9)
    assert found.threshold is None
    assert found.temperature > 10


@pytest.mark.parametrize("photos", [1, 11, 49])
def test_few_validation_photos_calibrate_nothing(photos):
    """Eleven photos that are all classified correctly had the lowest temperature, 0.05."""
    logits = np.tile([[3.0, 0.0]], (photos, 1))
    assert fit_temperature(logits, np.zeros(photos, int)) < 0.1
    assert calibrate(logits, np.zeros(photos, int), 0.95) == Calibration(1.0, None)
    enough = calibrate(np.tile([[3.0, 0.0]], (50, 1)), np.zeros(50, int), 0.95)
    assert enough.temperature < 0.1
    assert enough.threshold is not None


def test_accepted_names_have_the_requested_precision(calibrated):
    logits, labels = calibrated
    found = calibrate(3 * logits[:10_000], labels[:10_000], 0.9)
    measured = found.measured(labels[10_000:], probabilities(3 * logits[10_000:] / found.temperature))
    assert measured["accepted_precision"] == pytest.approx(0.9, abs=0.015)
    assert 0.2 < measured["accepted"] < 0.8
    assert measured["reject_threshold"] == found.threshold
    everything = Calibration(found.temperature).measured(labels, probabilities(logits))
    assert everything["accepted"] == 1.0
    assert everything["accepted_precision"] == np.mean(logits.argmax(axis=1) == labels)
    assert Calibration(1.0, 2.0).measured(labels, probabilities(logits))["accepted_precision"] is None


@pytest.mark.parametrize("calibration", [Calibration(), Calibration(1.7, 0.6)])
def test_a_calibration_is_written_and_read(tmp_path, calibration):
    write_calibration(tmp_path, calibration)
    assert read_calibration(tmp_path) == calibration
