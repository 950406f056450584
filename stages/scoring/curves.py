"""ROC and precision-recall curves of each class against the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

POINTS = 201
"""The maximum number of points of a curve; a smaller curve keeps all of its corners."""


def write_curves(targets: NDArray[Any], scores: NDArray[Any], labels: list[str], path: Path) -> None:
    """Write one row per point: `class`, `curve` (`roc` or `precision_recall`), `x`, `y` and `threshold`.

    x and y are the false and the true positive rate, or recall and precision. A class without photos has no curve.
    """
    names, kinds, points = [], [], []
    for number, label in enumerate(labels):
        for kind, found in class_curves(targets == number, scores[:, number]).items():
            names += [label] * len(found)
            kinds += [kind] * len(found)
            points.append(found)
    columns = np.concatenate([*points, np.zeros((0, 3))])
    table = {"class": pa.array(names, pa.string()), "curve": pa.array(kinds, pa.string())}
    table |= {name: pa.array(columns[:, place]) for place, name in enumerate(("x", "y", "threshold"))}
    pq.write_table(pa.table(table), path)


def class_curves(positive: NDArray[np.bool_], score: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    """Return the curves of one class, [points, 3] each: x, y, threshold; empty if it has no photos, or all."""
    from sklearn import metrics  # imported here for the same reason as in `metrics`

    if positive.all() or not positive.any():
        return {}
    false_rate, true_rate, thresholds = metrics.roc_curve(positive, score)
    precision, recall, limits = metrics.precision_recall_curve(positive, score, drop_intermediate=True)
    return {
        "roc": _thinned(np.column_stack([false_rate, true_rate, np.minimum(thresholds, 1.0)])),
        "precision_recall": _thinned(np.column_stack([recall, precision, np.append(limits, 1.0)])),
    }


def _thinned(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keep both ends, and points between them at even distances in the array."""
    if len(points) <= POINTS:
        return points
    kept: NDArray[np.float64] = points[np.unique(np.linspace(0, len(points) - 1, POINTS).round().astype(int))]
    return kept
