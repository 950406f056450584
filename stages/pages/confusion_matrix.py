"""The confusion matrix, as a page shows it: a table whose numbers, clicked, show their photos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from slimline.stages.pages.tables import Table

MOST_CLASSES = 40
MOST_CONFUSIONS = 50


class Cell(NamedTuple):
    """How many photos of one class were named as another.

    `share` is that of the true class's photos. By `key` the script finds the photos of a cell that is `clickable`.
    """

    key: str
    photos: int
    share: float
    words: str
    clickable: bool


class ConfusionMatrix(NamedTuple):
    """The matrix's rows, by their true class, and the photos of its cells, by the cells' keys."""

    labels: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Cell]]]
    photos: Mapping[str, Mapping[str, Any]]


def confusion_matrix(
    matrix: Sequence[Sequence[int]], labels: Sequence[str], cells: Mapping[tuple[int, int], Mapping[str, Any]]
) -> ConfusionMatrix | None:
    """Return a confusion matrix, or None for more than 40 classes, which a page can't show in a table.

    `cells` holds for each cell (true, named) its `photos` ({key, name, score}, and `picture` where the page doesn't
    show it elsewhere) and how many `more` there are.
    """
    if len(labels) > MOST_CLASSES:
        return None
    rows = []
    for true, (label, counts) in enumerate(zip(labels, matrix, strict=True)):
        total = max(1, sum(counts))
        line = [
            Cell(
                key=f"{true}-{named}",
                photos=count,
                share=count / total,
                words=f"{label} named {labels[named]}: {count:,}",
                clickable=(true, named) in cells,
            )
            for named, count in enumerate(counts)
        ]
        rows.append((label, line))
    return ConfusionMatrix(labels, rows, {f"{true}-{named}": cell for (true, named), cell in cells.items()})


def most_confused(matrix: Sequence[Sequence[int]], labels: Sequence[str]) -> Table:
    """Return the most frequent confusions, at most 50."""
    wrong = [
        (count, true, named)
        for true, row in enumerate(matrix)
        for named, count in enumerate(row)
        if count and true != named
    ]
    wrong.sort(key=lambda one: (-one[0], one[1:]))
    rows = [[labels[true], labels[named], f"{count:,}"] for count, true, named in wrong[:MOST_CONFUSIONS]]
    return Table(["what it shows", "what it was named", "photos"], rows, texts=(0, 1))
