"""The order of an epoch: each photo once, or each class equally often; it depends only on seed, phase and epoch."""

from __future__ import annotations

import numpy as np
import pytest

from slimline.stages.data.storing.epochs import epoch_order

LABELS = np.array([0] * 20 + [1])
"""Twenty photos of one class, one of the other."""


def order(labels=LABELS, batch_size=5, **settings):
    return epoch_order(labels, batch_size, **{"seed": 0, "phase": 0, "epoch": 0, **settings})


@pytest.mark.parametrize("batch_size", [1, 4, 7, 21])
def test_each_photo_comes_once_and_incomplete_batches_are_left_out(batch_size):
    found = order(batch_size=batch_size)
    assert found.shape == (21 // batch_size, batch_size)
    assert len(set(found.ravel().tolist())) == found.size
    assert set(found.ravel().tolist()) <= set(range(21))


def test_a_batch_size_larger_than_the_split_gives_one_batch_of_all_photos():
    assert sorted(order(batch_size=64).ravel().tolist()) == list(range(21))


def test_each_photo_comes_within_a_few_epochs():
    seen = {place for epoch in range(10) for place in order(batch_size=20, epoch=epoch).ravel().tolist()}
    assert seen == set(range(21))


@pytest.mark.parametrize("change", [{"seed": 1}, {"phase": 1}, {"epoch": 1}])
def test_the_order_depends_on_seed_phase_and_epoch(change):
    assert np.array_equal(order(), order())
    assert not np.array_equal(order(), order(**change))


@pytest.mark.parametrize("epoch", range(4))
def test_balanced_epochs_have_each_class_equally_often(epoch):
    labels = np.repeat([0, 1, 3], [40, 2, 21])  # 20:1, and a class without photos
    found = order(labels, batch_size=63, balance=True, epoch=epoch).ravel()
    assert np.bincount(labels[found], minlength=4).tolist() == [21, 21, 0, 21]
    uses = np.bincount(found, minlength=63)
    assert set(uses[:40]) == {0, 1}
    assert sorted(uses[40:42]) == [10, 11]
    assert set(uses[42:]) == {1}


def test_balanced_shares_differ_by_at_most_one_if_they_cannot_be_equal():
    labels = np.repeat([0, 1, 2], [30, 10, 10])
    shares = np.bincount(labels[order(labels, batch_size=50, balance=True).ravel()])
    assert sorted(shares.tolist()) == [16, 17, 17]


def test_balanced_classes_are_mixed_in_each_batch():
    labels = np.repeat([0, 1], [400, 20])
    shares = labels[order(labels, batch_size=60, balance=True)].mean(axis=1)
    assert shares == pytest.approx(0.5, abs=0.25)  # 60 draws: four standard deviations
