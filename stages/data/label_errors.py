"""Likely label errors: photos that a model, trained on the others, contradicts with confidence."""

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
"""Of scikit-learn's logistic regression, on features of the usual spread: of 97 labels made wrong among 2,926 flowers'
it names 72%, among 89 in all; another tenfold of steps changes that little, and takes three times as long."""


class Doubts(NamedTuple):
    """What cross-validation says of each photo [photos]: the class it would name, its probability, the label's own.

    `doubtful` is true where it contradicts the label with confidence.
    """

    named: NDArray[np.int64]
    scores: NDArray[np.float32]
    label_scores: NDArray[np.float32]
    doubtful: NDArray[np.bool_]


def doubt_labels(features: NDArray[np.float32], labels: NDArray[np.int64], folds: int, seed: int) -> Doubts:
    """Name each photo by a logistic regression on features [photos, width] that never saw it.

    A label is doubtful where another class is likelier, and at least as likely as that class's own photos find it on
    average (confident learning: Northcutt, Jiang and Chuang 2021, https://arxiv.org/abs/1911.00068, equation 2), or as
    SURE where classes lie so far apart that these find it surer still. With a class of one photo, nothing is.
    """
    present, numbers = np.unique(labels, return_inverse=True)
    if len(present) < 2 or np.bincount(numbers).min() < 2:
        nothing = np.ones(len(labels), np.float32)
        return Doubts(labels, nothing, nothing, np.zeros(len(labels), bool))
    folds = min(folds, int(np.bincount(numbers).min()))
    model = LogisticRegression(C=INVERSE_PENALTY, tol=TOLERANCE, max_iter=MOST_STEPS)
    parts = StratifiedKFold(folds, shuffle=True, random_state=seed)
    # One thread: the products are so narrow (as many columns as classes) that several mostly wait for each other, and
    # add in another order on each machine. 2,926 photos, two cores: 0.4 s of processor time instead of 5.
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
