"""What a classifier's probabilities are worth, measured with scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

CALIBRATION_BINS = 15


def classification_metrics(targets: NDArray[Any], scores: NDArray[Any], labels: list[str]) -> dict[str, Any]:
    """Measure probabilities [count, classes] against targets [count]: JSON values by name.

    `top1`, `top5` (1.0 by definition with five classes or fewer), `balanced_accuracy` (mean recall),
    `log_loss` (nats), `calibration_error` (expected, 15 equal bins), `per_class` and `confusion_matrix`
    (rows true, columns predicted).
    """
    from sklearn import metrics

    numbers = list(range(len(labels)))
    guessed = scores.argmax(axis=1)
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        targets, guessed, labels=numbers, zero_division=0.0
    )
    rank = np.sum(scores > scores[np.arange(len(targets)), targets][:, None], axis=1)
    return {
        "count": len(targets),
        "top1": float(metrics.accuracy_score(targets, guessed)),
        "top5": float(np.mean(rank < 5)),
        "balanced_accuracy": float(metrics.balanced_accuracy_score(targets, guessed)),
        "log_loss": float(metrics.log_loss(targets, scores, labels=numbers)),
        "calibration_error": expected_calibration_error(targets, scores),
        "per_class": {
            label: {
                "precision": float(precision[n]),
                "recall": float(recall[n]),
                "f1": float(f1[n]),
                "support": int(support[n]),
            }
            for n, label in enumerate(labels)
        },
        "confusion_matrix": metrics.confusion_matrix(targets, guessed, labels=numbers).tolist(),
    }


def expected_calibration_error(targets: NDArray[Any], scores: NDArray[Any]) -> float:
    """Return the mean gap between confidence and accuracy over equal bins of confidence, weighted by count.

    Source: Guo et al. 2017, https://arxiv.org/abs/1706.04599, equation 3.
    """
    confidence, right = scores.max(axis=1), scores.argmax(axis=1) == targets
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    gaps = [abs(np.sum(right[bins == n]) - np.sum(confidence[bins == n])) for n in range(CALIBRATION_BINS)]
    return float(sum(gaps) / len(targets))
