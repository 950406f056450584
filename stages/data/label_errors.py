"""Likely label errors: labels that a model trained on the other photos contradicts with confidence."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # scikit-learn's own

from slimline.stages.data.storing.features import feature_scale

SURE = 0.9
INVERSE_PENALTY, TOLERANCE, MOST_STEPS = 0.03, 1e-2, 100
"""Settings of scikit-learn's logistic regression on scaled features. With 97 wrong labels among 2,926 flowers, it lists
89 photos, with 72% of the wrong labels among them; ten times as many steps change little, and take three times as long.
"""


class Doubts(NamedTuple):
    """Cross-validation's result for each photo [photos]: the predicted class, its probability, the label's probability.

    `doubtful` is true where the prediction contradicts the label with confidence.
    """

    named: NDArray[np.int64]
    scores: NDArray[np.float32]
    label_scores: NDArray[np.float32]
    doubtful: NDArray[np.bool_]


def doubt_labels(features: NDArray[np.float32], labels: NDArray[np.int64], folds: int, seed: int) -> Doubts:
    """Predict each photo's class by logistic regression on the features [photos, width] of the other photos.

    A label is doubtful if another class has a higher probability, and that probability is at least the mean that this
    class's own photos get for it (confident learning: Northcutt, Jiang and Chuang 2021,
    https://arxiv.org/abs/1911.00068, equation 2). Where classes are so far apart that the mean is above SURE, SURE is
    enough. If a class has only one photo, no label is doubtful.
    """
    present, numbers = np.unique(labels, return_inverse=True)
    if len(present) < 2 or np.bincount(numbers).min() < 2:
        nothing = np.ones(len(labels), np.float32)
        return Doubts(labels, nothing, nothing, np.zeros(len(labels), bool))
    folds = min(folds, int(np.bincount(numbers).min()))
    model = LogisticRegression(C=INVERSE_PENALTY, tol=TOLERANCE, max_iter=MOST_STEPS)
    parts = StratifiedKFold(folds, shuffle=True, random_state=seed)
    # One thread: the products are so narrow (one column per class) that several threads mostly wait for each other, and
    # they add in another order on each machine. 2,926 photos, two cores: 0.4 s of processor time instead of 5.
    with warnings.catch_warnings(), threadpool_limits(limits=1, user_api="blas"):
        warnings.simplefilter("ignore", ConvergenceWarning)
        scores: NDArray[Any] = cross_val_predict(
            model, features * feature_scale(features), numbers, cv=parts, method="predict_proba"
        )
    own = scores[np.arange(len(labels)), numbers]
    named, best = scores.argmax(axis=1), scores.max(axis=1)
    usual = np.array([own[numbers == number].mean() for number in range(len(present))])
    doubtful = (named != numbers) & (best >= np.minimum(usual, SURE)[named])
    return Doubts(present[named], best.astype(np.float32), own.astype(np.float32), doubtful)
