"""The confusion matrix of a page: a table in which a click on a number shows its photos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from slimline.stages.pages.tables import Table

MOST_CLASSES = 40
MOST_CONFUSIONS = 50


class Cell(NamedTuple):
    """The number of photos of one class that were predicted as another.

    `share` is their share of the true class's photos. `key` is how the script finds the photos of a `clickable` cell.
    """

    key: str
    photos: int
    share: float
    words: str
    clickable: bool


class ConfusionMatrix(NamedTuple):
    """The rows of the matrix, by true class, and the photos of its cells, by the cells' keys."""

    labels: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Cell]]]
    photos: Mapping[str, Mapping[str, Any]]


def confusion_matrix(
    matrix: Sequence[Sequence[int]], labels: Sequence[str], cells: Mapping[tuple[int, int], Mapping[str, Any]]
) -> ConfusionMatrix | None:
    """Return a confusion matrix, or None for more than 40 classes, which are too many for a table.

    `cells` holds for each cell (true, predicted) its `photos` ({key, name, score}, `picture` if the page does not show
    it elsewhere, and `unknown`, the threshold, if the score is below it) and how many `more` there are.
    """
    if len(labels) > MOST_CLASSES:
        return None
    rows = []
    for true, (label, counts) in enumerate(zip(labels, matrix, strict=True)):
        total = max(1, sum(counts))
        line = [
            Cell(
                key=f"{true}-{predicted}",
                photos=count,
                share=count / total,
                words=f"{label} predicted as {labels[predicted]}: {count:,}",
                clickable=(true, predicted) in cells,
            )
            for predicted, count in enumerate(counts)
        ]
        rows.append((label, line))
    return ConfusionMatrix(labels, rows, {f"{true}-{predicted}": cell for (true, predicted), cell in cells.items()})


def most_confused(matrix: Sequence[Sequence[int]], labels: Sequence[str]) -> Table:
    """Return the most frequent confusions, at most 50."""
    wrong = [
        (count, true, predicted)
        for true, row in enumerate(matrix)
        for predicted, count in enumerate(row)
        if count and true != predicted
    ]
    wrong.sort(key=lambda one: (-one[0], one[1:]))
    rows = [[labels[true], labels[predicted], f"{count:,}"] for count, true, predicted in wrong[:MOST_CONFUSIONS]]
    return Table(["true class", "predicted class", "photos"], rows, texts=(0, 1))
