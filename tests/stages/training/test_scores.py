"""Validation scores from logits, against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from slimline.stages.training.scores import validation_scores

LABELS = np.array([0, 1, 1])


def test_equal_logits_cost_the_logarithm_of_the_number_of_classes():
    found = validation_scores(np.zeros((3, 4), np.float32), LABELS)
    assert found["validation_loss"] == pytest.approx(np.log(4))
    assert found["validation_accuracy"] == pytest.approx(1 / 3)


def test_the_scores_of_several_models_are_those_of_each_alone():
    logits = np.random.default_rng(0).normal(size=(5, 3, 4)).astype(np.float32)
    together = validation_scores(logits, LABELS)
    for number, own in enumerate(logits):
        alone = validation_scores(own, LABELS)
        assert {name: values[number] for name, values in together.items()} == alone


def test_a_certain_and_correct_prediction_costs_zero_and_nan_stays():
    sure = np.where(np.arange(4) == LABELS[:, None], 1e4, 0).astype(np.float32)
    assert str(float(validation_scores(sure, LABELS)["validation_loss"])) == "0.0"
    assert np.isnan(validation_scores(np.full((3, 4), np.nan, np.float32), LABELS)["validation_loss"])
