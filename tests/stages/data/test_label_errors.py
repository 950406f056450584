"""Label errors: labels that the features contradict are found, and no others."""

from __future__ import annotations

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from slimline.stages.data import label_errors
from slimline.stages.data.label_errors import _candidates, doubt_labels


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
    doubts, _ = doubt_labels(features, wrong, 5, 0)
    assert set(np.flatnonzero(doubts.doubtful)) == set(changed)
    assert (doubts.named[changed] == right[changed]).all()
    assert (doubts.scores[changed] > doubts.label_scores[changed]).all()


def test_correct_labels_are_not_doubtful():
    features, labels = clouds(300)
    doubts, _ = doubt_labels(features, labels, 5, 0)
    assert not doubts.doubtful.any()
    assert (doubts.named == labels).mean() > 0.99


def test_a_photo_is_classified_by_the_other_photos_only():
    features, labels = clouds(60)
    features[0], labels[0] = 50 * np.eye(16, dtype=np.float32)[0], 0  # far from the others: its label isn't learned
    with_label = [
        doubt_labels(features, np.where(np.arange(60) == 0, label, labels), 5, 0)[0].named[0] for label in (0, 1, 2)
    ]
    assert len(set(with_label)) == 1


def test_the_same_seed_gives_the_same_answer_and_the_scale_of_features_does_not_matter():
    features, labels = clouds(120, spread=3.0)
    one, two, scaled = (doubt_labels(values, labels, 5, 0)[0] for values in (features, features, features * 64))
    assert np.array_equal(one.scores, two.scores)
    assert np.array_equal(one.named, scaled.named)
    assert one.scores == pytest.approx(scaled.scores, abs=1e-3)


def test_labels_keep_their_numbers_if_some_are_missing():
    features, labels = clouds(90)
    doubts, test = doubt_labels(features, labels * 10 + 5, 5, 0)
    assert set(doubts.named) == {5, 15, 25}
    assert len(test.labels)
    assert set(test.labels) <= {5, 15, 25}


@pytest.mark.parametrize("labels", [[0] * 6, [0, 0, 0, 0, 0, 1], [0, 1, 2, 3, 4, 5]])
def test_without_two_classes_of_two_photos_nothing_is_reviewed(labels):
    features, _ = clouds(6)
    doubts, test = doubt_labels(features, np.array(labels, np.int64), 5, 0)
    assert not doubts.reviewed.any()
    assert not doubts.doubtful.any()
    assert doubts.named.tolist() == labels
    assert len(test.photos) == len(test.candidates) == 0


def test_the_only_photo_of_its_class_does_not_stop_the_review_of_the_others():
    features, right = clouds(300)
    wrong = right.copy()
    changed = np.arange(20, 300, 20)
    wrong[changed] = (right[changed] + 1) % 3
    wrong[0] = 7
    doubts, _ = doubt_labels(features, wrong, 5, 0)
    assert np.flatnonzero(~doubts.reviewed).tolist() == [0]
    doubtful = np.flatnonzero(doubts.doubtful)
    assert set(doubtful) <= set(changed)
    assert len(doubtful) >= 12


def test_a_class_of_two_photos_is_reviewed_with_the_usual_folds():
    features, labels = clouds(60)
    few = np.flatnonzero(labels != 2).tolist() + np.flatnonzero(labels == 2)[:2].tolist()
    doubts, _ = doubt_labels(features[few], labels[few], 5, 0)
    assert doubts.reviewed.all()
    assert (doubts.named == labels[few]).mean() > 0.9


def test_classes_smaller_than_the_number_of_folds_are_reviewed():
    features, labels = clouds(9)
    doubts, _ = doubt_labels(features, labels, 5, 0)
    assert doubts.reviewed.all()


def test_candidates_are_the_labels_with_the_largest_margins():
    features, labels = clouds(300, spread=6.0)
    doubts, test = doubt_labels(features, labels, 5, 0)
    assert 0 < doubts.doubtful.sum() < (doubts.named != labels).sum()
    assert doubts.margins[doubts.doubtful].min() >= doubts.margins[~doubts.doubtful].max()
    wrong = doubts.named != labels
    assert doubts.margins[wrong] == pytest.approx((doubts.scores - doubts.label_scores)[wrong], abs=1e-6)
    assert (doubts.margins[~wrong] < 0).all()
    assert (test.margins[test.found] >= test.candidates.min()).all()
    assert (test.margins[~test.found] <= test.candidates.min()).all()


def test_their_number_is_confident_learnings():
    """Four photos of a class with the mean 0.7, and one that is labeled as the other: equation 2 by hand."""
    scores = np.array(
        [[0.9, 0.1], [0.8, 0.2], [0.6, 0.4], [0.5, 0.5], [0.2, 0.8], [0.1, 0.9], [0.3, 0.7], [0.75, 0.25]]
    )
    numbers = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    # Mean of class 0 for its photos: 0.7. The last photo has 0.75 for class 0, above 0.7.
    margins, doubtful = _candidates(scores, numbers)
    assert np.flatnonzero(doubtful).tolist() == [7]
    assert margins[7] == pytest.approx(0.5)
    scores[7] = [0.65, 0.35]
    assert not _candidates(scores, numbers)[1].any()


def test_planted_errors_are_mostly_found_where_classes_are_far_apart():
    features, labels = clouds(3000)
    _, test = doubt_labels(features, labels, 5, 0)
    assert len(test.photos) == 30
    assert (test.labels != labels[test.photos]).all()
    assert test.found.sum() == 30
    assert len(test.candidates) == 30


def test_planted_errors_do_not_change_the_review_of_the_labels_as_they_are(monkeypatch):
    features, labels = clouds(300, spread=5.0)
    with_test, _ = doubt_labels(features, labels, 5, 0)
    monkeypatch.setattr(label_errors, "plant_errors", lambda scores, numbers, seed: numbers.copy())
    without, test = doubt_labels(features, labels, 5, 0)
    assert all(np.array_equal(*pair) for pair in zip(with_test, without, strict=True))
    assert len(test.photos) == 0


def test_weak_features_find_fewer_planted_errors_among_more_candidates():
    (strong, labels), (weak, _) = clouds(1500, spread=3.0), clouds(1500, spread=12.0)
    tests = [doubt_labels(features, labels, 5, 0)[1] for features in (strong, weak)]
    assert tests[0].found.sum() > tests[1].found.sum()
    assert 3 * len(tests[0].candidates) < len(tests[1].candidates)


def test_the_number_of_threads_changes_no_bit():
    features, labels = clouds(1500, classes=5, width=800, spread=4.0)
    scores = []
    for threads in (1, 2):
        with threadpool_limits(threads, user_api="blas"):
            doubts, test = doubt_labels(features, labels, 3, 0)
            scores.append(np.concatenate([doubts.scores, test.margins]))
    assert np.array_equal(*scores)
