"""Classification metrics, computed with scikit-learn.

scikit-learn takes 0.6 s to import, so it is imported inside functions: an evaluation imports it in a thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimline.stages.scoring.intervals import CONFIDENCE, Interval, mean_interval, wilson_interval

CALIBRATION_BINS = 15
AVERAGES = ("macro", "weighted")
RESAMPLES_AT_ONCE = 1 << 24
"""The number of drawn photos that are in memory at once while resampling: 128 MB."""


def classification_metrics(
    targets: NDArray[Any], scores: NDArray[Any], labels: list[str], top: Sequence[int] = (5,)
) -> dict[str, Any]:
    """Measure probabilities [count, classes] against targets [count]: JSON values by name.

    `top1` and `top<k>` of each k in `top` that is smaller than the number of classes (all others are 1 by definition),
    `balanced_accuracy` (mean recall), `macro` and `weighted` means of precision, recall and F1, `log_loss` (nats),
    `brier` (0 to 2), `roc_auc` and `average_precision` (one class against the others, their mean), `calibration_error`
    (expected, 15 equal bins) and the `calibration` bins, `per_class` (with the 95% intervals of precision and recall,
    by Wilson) and `confusion_matrix` (rows true, columns predicted). Undefined values, such as the area under the
    curve of a class without photos, are None.
    """
    from sklearn import metrics

    numbers = list(range(len(labels)))
    guessed = scores.argmax(axis=1)
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        targets, guessed, labels=numbers, zero_division=0.0
    )
    rank = np.sum(scores > scores[np.arange(len(targets)), targets][:, None], axis=1)
    areas, averages = zip(*(_areas(targets == number, scores[:, number]) for number in numbers), strict=True)
    bins = calibration_bins(targets, scores)
    matrix = metrics.confusion_matrix(targets, guessed, labels=numbers)
    means = {kind: _averages(targets, guessed, numbers, kind) for kind in AVERAGES}
    return {
        "count": len(targets),
        "top1": float(metrics.accuracy_score(targets, guessed)),
        **{f"top{k}": float(np.mean(rank < k)) for k in top if k < len(labels)},
        "balanced_accuracy": float(np.mean(recall[support > 0])),
        **{f"{kind}_f1": found["f1"] for kind, found in means.items()},
        **proper_scores(targets, scores),
        "roc_auc": _mean(areas),
        "average_precision": _mean(averages),
        "calibration_error": float(sum(abs(row["hits"] - row["confidences"]) for row in bins) / len(targets)),
        **means,
        "calibration": [
            {
                "count": row["count"],
                "confidence": row["confidences"] / row["count"],
                "accuracy": row["hits"] / row["count"],
            }
            for row in bins
        ],
        "per_class": {
            label: {
                "precision": float(precision[n]),
                "recall": float(recall[n]),
                "f1": float(f1[n]),
                "roc_auc": areas[n],
                "average_precision": averages[n],
                "support": int(support[n]),
                "precision_interval": _interval(matrix[n, n], matrix[:, n].sum()),
                "recall_interval": _interval(matrix[n, n], matrix[n].sum()),
            }
            for n, label in enumerate(labels)
        },
        "confusion_matrix": matrix.tolist(),
    }


def _interval(right: Any, count: Any) -> Interval | None:
    return wilson_interval(int(right), int(count)) if count else None


def proper_scores(targets: NDArray[Any], scores: NDArray[Any]) -> dict[str, float]:
    """Return the mean negative log-likelihood, in nats, and the Brier score of probabilities [count, classes].

    Source: Brier 1950, Verification of forecasts expressed in terms of probability: the sum over the classes.
    """
    own = scores[np.arange(len(targets)), targets]
    brier = np.sum(np.square(scores), axis=1) - 2 * own + 1
    least = np.finfo(scores.dtype).tiny
    losses = -np.log(np.maximum(own, least))
    # Of sure and correct predictions the mean is -0.0, and by rounding it may be below 0, as neither score can be.
    means = {"log_loss": np.mean(losses), "brier": np.mean(brier)}
    return {name: float(np.maximum(mean, 0.0)) + 0.0 for name, mean in means.items()}  # NaN stays, unlike with max


def _averages(targets: NDArray[Any], guessed: NDArray[Any], numbers: list[int], kind: str) -> dict[str, float]:
    """Average precision, recall and F1 over the classes that have photos, weighted equally or by their photos."""
    from sklearn import metrics

    present = [number for number in numbers if np.any(targets == number)]
    found = metrics.precision_recall_fscore_support(targets, guessed, labels=present, average=kind, zero_division=0.0)
    return dict(zip(("precision", "recall", "f1"), map(float, found[:3]), strict=True))


def _areas(positive: NDArray[np.bool_], score: NDArray[Any]) -> tuple[float | None, float | None]:
    """Return the area under a class's ROC curve and its average precision; None if it has no photos, or all."""
    from sklearn import metrics

    if positive.all() or not positive.any():
        return None, None
    return float(metrics.roc_auc_score(positive, score)), float(metrics.average_precision_score(positive, score))


def _mean(values: Sequence[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None


def calibration_bins(targets: NDArray[Any], scores: NDArray[Any]) -> list[dict[str, Any]]:
    """Sum up confidences and hits in 15 equal bins of confidence, the lowest first; a bin without photos is left out.

    Source: Guo et al. 2017, https://arxiv.org/abs/1706.04599, equation 3.
    """
    confidence, right = scores.max(axis=1), scores.argmax(axis=1) == targets
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    return [
        {
            "count": int(np.sum(bins == n)),
            "confidences": float(np.sum(confidence[bins == n])),
            "hits": int(np.sum(right[bins == n])),
        }
        for n in np.unique(bins)
    ]


def confidence_intervals(targets: NDArray[Any], scores: NDArray[Any], seed: int, resamples: int) -> dict[str, Interval]:
    """Return the 95% intervals of `top1` (Wilson), `balanced_accuracy` (from each class's) and `log_loss`.

    That of the log loss is the bootstrap's, by percentiles: as many photos as there are, drawn with replacement.
    Source: Efron and Tibshirani 1993, chapter 13.
    """
    hits = scores.argmax(axis=1) == targets
    classes = [hits[targets == number] for number in np.unique(targets)]
    own = np.maximum(scores[np.arange(len(targets)), targets], np.finfo(scores.dtype).tiny)
    losses = -np.log(own)
    drawn = [counts @ losses / len(targets) for counts in _resampled(len(targets), seed, resamples)]
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(np.concatenate(drawn), [tail, 100 - tail])
    return {
        "top1": wilson_interval(int(hits.sum()), len(hits)),
        "balanced_accuracy": mean_interval([(int(one.sum()), len(one)) for one in classes]),
        "log_loss": (float(low) + 0.0, float(high) + 0.0),
    }


def _resampled(count: int, seed: int, resamples: int) -> Iterator[NDArray[np.float64]]:
    """Yield how often each photo was drawn, [some, count] at a time, for `resamples` resamples in total."""
    draw = np.random.default_rng(seed)
    some = max(1, RESAMPLES_AT_ONCE // count)
    for start in range(0, resamples, some):
        rows = min(some, resamples - start)
        drawn = draw.integers(count, size=(rows, count)) + count * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count).astype(np.float64)
