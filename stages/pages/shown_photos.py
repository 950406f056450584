"""Photos on a page with their predictions: mistakes, unsure predictions, and those behind a confusion matrix."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from slimline.stages.pages.render import percent

Row = Mapping[str, Any]
Rows = Sequence[Row]


class Shown(NamedTuple):
    """A photo on the page: its key, its picture as a `data:` URL, its true class and its prediction."""

    key: str
    picture: str
    filename: str
    label: str
    predicted: str
    score: float

    @property
    def words(self) -> str:
        """The alternative text of the picture."""
        return f"{self.label} predicted as {self.predicted}"


def most_wrong(predictions: Rows, most: int) -> list[Row]:
    """Return the most confident mistakes."""
    wrong = [row for row in predictions if row["label"] != row["predicted"]]
    return sorted(wrong, key=lambda row: (-row["score"], row["filename"]))[:most]


def least_sure(predictions: Rows, most: int) -> list[Row]:
    """Return the least confident predictions."""
    return sorted(predictions, key=lambda row: (row["score"], row["filename"]))[:most]


def behind_cells(predictions: Rows, labels: Sequence[str], most: int) -> dict[tuple[int, int], tuple[Rows, int]]:
    """Return for each (true, predicted) its most confident photos, and how many more there are."""
    places = {label: number for number, label in enumerate(labels)}
    cells: dict[tuple[int, int], list[Row]] = defaultdict(list)
    for row in sorted(predictions, key=lambda row: (-row["score"], row["filename"])):
        cells[places[row["label"]], places[row["predicted"]]].append(row)
    return {place: (rows[:most], len(rows) - len(rows[:most])) for place, rows in cells.items() if most}


def shown_photo(row: Row, picture: str) -> Shown:
    """Return a row of predictions with its picture."""
    return Shown(row["sha256"], picture, row["filename"], row["label"], row["predicted"], row["score"])


def cell_photos(
    rows: Rows, more: int, pictures: Mapping[str, str], elsewhere: set[str], threshold: float
) -> dict[str, Any]:
    """Return what a click on a cell shows; a picture that the page contains elsewhere is not stored again.

    A photo whose score is below the threshold has the threshold as `unknown`.
    """
    photos = []
    for row in rows:
        photo = {"key": row["sha256"], "name": row["filename"], "score": round(row["score"], 4)}
        if row["score"] < threshold:
            photo["unknown"] = percent(threshold)
        photos.append(photo if row["sha256"] in elsewhere else {**photo, "picture": pictures[row["sha256"]]})
    return {"photos": photos, "more": more}
