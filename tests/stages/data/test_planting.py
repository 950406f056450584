"""Planted errors: how many labels are changed, in which classes, and to which classes."""

from __future__ import annotations

import numpy as np
import pytest

from slimline.stages.data.planting import plant_errors


def plant(counts, seed=0, scores=None):
    """Return the labels of classes of `counts` photos, and the same with planted errors."""
    numbers = np.repeat(np.arange(len(counts)), counts)
    scores = np.full((len(numbers), len(counts)), 1 / len(counts)) if scores is None else scores
    return numbers, plant_errors(scores, numbers, seed)


@pytest.mark.parametrize(
    ("photos", "planted"), [(18, 0), (40, 2), (200, 10), (600, 30), (2926, 30), (3000, 30), (3150, 32), (60_000, 600)]
)
def test_one_percent_is_changed_or_thirty_labels_but_never_more_than_five_percent(photos, planted):
    numbers, changed = plant([photos // 2, photos - photos // 2])
    assert (numbers != changed).sum() == planted


def test_the_seed_decides():
    numbers, one = plant([500, 500, 500])
    assert np.array_equal(one, plant([500, 500, 500])[1])
    assert not np.array_equal(one, plant([500, 500, 500], seed=1)[1])
    assert set(one) <= set(numbers)


def test_no_class_loses_more_than_a_tenth_of_its_labels():
    for seed in range(20):
        numbers, changed = plant([9, 10, 15, 40, 400], seed)
        lost = np.bincount(numbers[numbers != changed], minlength=5)
        assert (lost <= [0, 1, 1, 4, 40]).all()
        assert lost.sum() == 23


def test_a_wrong_label_is_drawn_by_the_probabilities_of_the_other_classes():
    scores = np.tile([0.9, 0.0, 0.075, 0.025], (20_000, 1))
    numbers = np.zeros(20_000, np.int64)
    drawn = np.bincount(plant_errors(scores, numbers, 0), minlength=4)
    assert drawn[0] == 19_800
    assert drawn[1] == 0
    assert drawn[2] == pytest.approx(150, abs=20)


def test_a_photo_without_a_probable_other_class_gets_any_other():
    scores = np.tile([1.0, 0.0, 0.0], (4000, 1))
    drawn = np.bincount(plant_errors(scores, np.zeros(4000, np.int64), 0), minlength=3)
    assert drawn[0] == 3960
    assert drawn[1] > 5
    assert drawn[2] > 5
