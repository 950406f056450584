"""Candidates for wrong labels: labels that a model trained on the other photos contradicts, and a test of the search.

Source: confident learning, Northcutt, Jiang and Chuang 2021, https://arxiv.org/abs/1911.00068. The candidates are those
of `cleanlab.filter.find_label_issues(filter_by="low_normalized_margin")`, with the ceiling SURE. cleanlab itself would
add pandas (84 MB) and 0.2 s of processor time to each review.
"""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # scikit-learn's own

from slimline.stages.data.planting import plant_errors
from slimline.stages.data.storing.features import feature_scale

SURE = 0.9
INVERSE_PENALTY, TOLERANCE, MOST_STEPS = 0.03, 1e-2, 100
"""Settings of scikit-learn's logistic regression on scaled features. With 97 wrong labels among 2,926 flowers, it lists
96 photos, with 77% of the wrong labels among them; a tenth of the tolerance changes little, and takes twice as long."""


class Doubts(NamedTuple):
    """Cross-validation's result for each photo [photos]: the predicted class, its probability, the label's probability.

    `margins` is the highest probability of another class minus the label's probability. `doubtful` marks the
    candidates. `reviewed` is false for the only photo of its class, whose label cannot be checked.
    """

    named: NDArray[np.int64]
    scores: NDArray[np.float32]
    label_scores: NDArray[np.float32]
    margins: NDArray[np.float32]
    doubtful: NDArray[np.bool_]
    reviewed: NDArray[np.bool_]


class PlantedErrors(NamedTuple):
    """Result of the test with planted errors.

    `photos` [planted] are the rows whose labels were made wrong, and `labels` [planted] these wrong labels. `found`
    [planted] says which of them were candidates, with their `margins` [planted]. `candidates` [candidates] holds the
    margins of all candidates of the test.
    """

    photos: NDArray[np.int64]
    labels: NDArray[np.int64]
    found: NDArray[np.bool_]
    margins: NDArray[np.float32]
    candidates: NDArray[np.float32]


def doubt_labels(
    features: NDArray[np.float32], labels: NDArray[np.int64], folds: int, seed: int
) -> tuple[Doubts, PlantedErrors]:
    """Predict each photo's class by logistic regression on the features [photos, width] of the other photos.

    The number of candidates is confident learning's: the labels for which another class has a higher probability, and
    that probability is at least the mean that this class's own photos get for it (equation 2). Where classes are so far
    apart that the mean is above SURE, SURE is enough. The candidates themselves are those with the largest margins:
    as many, with more wrong labels among them (61% became 71% of random ones, features with 75% accuracy).

    Then the same is done once more with some labels made wrong, to tell how many of these are found.
    """
    present, counts = np.unique(labels, return_counts=True)
    kept = np.isin(labels, present[counts > 1])
    classes, numbers = np.unique(labels[kept], return_inverse=True)
    if len(classes) < 2:
        return _nothing_reviewed(labels)
    values = features[kept] * feature_scale(features[kept])
    scores, again, planted = _cross_validate(values, numbers, folds, seed)
    margins, doubtful = _candidates(scores, numbers)
    doubts = Doubts(
        named=_filled(labels, kept, classes[scores.argmax(axis=1)]),
        scores=_filled(np.ones(len(labels), np.float32), kept, scores.max(axis=1)),
        label_scores=_filled(np.ones(len(labels), np.float32), kept, scores[np.arange(len(numbers)), numbers]),
        margins=_filled(np.full(len(labels), -1, np.float32), kept, margins),
        doubtful=_filled(np.zeros(len(labels), bool), kept, doubtful),
        reviewed=kept,
    )
    changed = np.flatnonzero(planted != numbers)
    margins, found = _candidates(again, planted)
    test = PlantedErrors(
        photos=np.flatnonzero(kept)[changed],
        labels=classes[planted[changed]],
        found=found[changed],
        margins=margins[changed].astype(np.float32),
        candidates=margins[found].astype(np.float32),
    )
    return doubts, test


def _cross_validate(
    values: NDArray[np.float32], numbers: NDArray[np.int64], folds: int, seed: int
) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.int64]]:
    """Return the probabilities [photos, classes] for the labels as they are, the same with planted errors, and these.

    The second pass continues from the weights of the first, which saves half of its steps. A photo's own label, planted
    or not, is in neither training set of the model that classifies it: both passes have the same folds.
    """
    folds = min(folds, int(np.bincount(numbers).max()))
    with warnings.catch_warnings(), threadpool_limits(limits=1, user_api="blas"):
        # One thread: the products are so narrow (one column per class) that several threads mostly wait for each other,
        # and they add in another order on each machine. 2,926 photos, two cores: 0.4 s of processor time instead of 5.
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)  # each has two photos or more
        parts = list(StratifiedKFold(folds, shuffle=True, random_state=seed).split(values, numbers))
        models = [
            LogisticRegression(C=INVERSE_PENALTY, tol=TOLERANCE, max_iter=MOST_STEPS, warm_start=True) for _ in parts
        ]
        scores = _probabilities(models, parts, values, numbers)
        planted = plant_errors(scores, numbers, seed)
        again = _probabilities(models, parts, values, planted) if (planted != numbers).any() else scores
    return scores, again, planted


def _probabilities(models: Any, parts: Any, values: NDArray[np.float32], numbers: NDArray[np.int64]) -> NDArray[Any]:
    found = np.empty((len(numbers), numbers.max() + 1))
    for model, (training, tested) in zip(models, parts, strict=True):
        found[tested] = model.fit(values[training], numbers[training]).predict_proba(values[tested])
    return found


def _candidates(scores: NDArray[Any], numbers: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return each label's margin [photos], and whether it is a candidate [photos]: see `doubt_labels`."""
    rows = np.arange(len(numbers))
    own = scores[rows, numbers]
    others = scores.copy()
    others[rows, numbers] = -1
    best, margins = scores.max(axis=1), others.max(axis=1) - own
    sums = np.bincount(numbers, weights=own, minlength=scores.shape[1])
    usual = sums / np.maximum(np.bincount(numbers, minlength=scores.shape[1]), 1)
    count = int(((margins > 0) & (best >= np.minimum(usual, SURE)[scores.argmax(axis=1)])).sum())
    doubtful = np.zeros(len(numbers), bool)
    doubtful[np.argsort(-margins, kind="stable")[:count]] = True
    return margins, doubtful


def _filled(full: NDArray[Any], kept: NDArray[np.bool_], values: NDArray[Any]) -> NDArray[Any]:
    """Return a copy of `full` [photos] with the kept photos' values in their places, in its dtype."""
    found = full.copy()
    found[kept] = values
    return found


def _nothing_reviewed(labels: NDArray[np.int64]) -> tuple[Doubts, PlantedErrors]:
    ones, none = np.ones(len(labels), np.float32), np.zeros(len(labels), bool)
    doubts = Doubts(labels, ones, ones, -ones, none, none)
    return doubts, PlantedErrors(labels[:0], labels[:0], none[:0], ones[:0], ones[:0])
