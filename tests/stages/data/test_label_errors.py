"""Label errors: labels that the features contradict are found, and no others."""

from __future__ import annotations

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from slimline.stages.data.label_errors import doubt_labels


def clouds(count: int, classes: int = 3, width: int = 16, spread: float = 1.0):
    """Draw features around one center per class, and their labels."""
    draw = np.random.default_rng(0)
    labels = np.arange(count, dtype=np.int64) % classes
    centers = draw.normal(0, 3, (classes, width))
    return (centers[labels] + draw.normal(0, spread, (count, width))).astype(np.float32), labels


def test_labels_that_were_made_wrong_are_found_and_no_others():
    features, right = clouds(300)
    wrong = right.copy()
    changed = np.arange(0, 300, 20)
    wrong[changed] = (right[changed] + 1) % 3
    doubts = doubt_labels(features, wrong, 5, 0)
    assert set(np.flatnonzero(doubts.doubtful)) == set(changed)
    assert (doubts.named[changed] == right[changed]).all()
    assert (doubts.scores[changed] > doubts.label_scores[changed]).all()


def test_correct_labels_are_not_doubtful():
    features, labels = clouds(300)
    doubts = doubt_labels(features, labels, 5, 0)
    assert not doubts.doubtful.any()
    assert (doubts.named == labels).mean() > 0.99


def test_a_photo_is_classified_by_the_other_photos_only():
    features, labels = clouds(60)
    features[0], labels[0] = 50 * np.eye(16, dtype=np.float32)[0], 0  # far from the others: its label isn't learned
    with_label = [
        doubt_labels(features, np.where(np.arange(60) == 0, label, labels), 5, 0).named[0] for label in (0, 1, 2)
    ]
    assert len(set(with_label)) == 1


def test_the_same_seed_gives_the_same_answer_and_the_scale_of_features_does_not_matter():
    features, labels = clouds(120, spread=3.0)
    one, two, scaled = (doubt_labels(values, labels, 5, 0) for values in (features, features, features * 64))
    assert np.array_equal(one.scores, two.scores)
    assert np.array_equal(one.named, scaled.named)
    assert one.scores == pytest.approx(scaled.scores, abs=1e-3)


def test_labels_keep_their_numbers_if_some_are_missing():
    features, labels = clouds(90)
    doubts = doubt_labels(features, labels * 10 + 5, 5, 0)
    assert set(doubts.named) == {5, 15, 25}


@pytest.mark.parametrize("labels", [[0] * 6, [0, 0, 0, 0, 0, 1]])
def test_without_cross_validation_no_label_is_doubtful(labels):
    features, _ = clouds(6)
    doubts = doubt_labels(features, np.array(labels, np.int64), 5, 0)
    assert not doubts.doubtful.any()
    assert doubts.named.tolist() == labels


def test_a_small_class_reduces_the_number_of_folds():
    features, labels = clouds(60)
    few = np.flatnonzero(labels != 2).tolist() + np.flatnonzero(labels == 2)[:2].tolist()
    doubts = doubt_labels(features[few], labels[few], 5, 0)
    assert (doubts.named == labels[few]).mean() > 0.9


def test_the_number_of_threads_changes_no_bit():
    features, labels = clouds(1500, classes=5, width=800, spread=4.0)
    scores = []
    for threads in (1, 2):
        with threadpool_limits(threads, user_api="blas"):
            scores.append(doubt_labels(features, labels, 3, 0).scores)
    assert np.array_equal(*scores)
