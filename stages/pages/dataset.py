"""The dataset page: classes, splits, image sizes, excluded files and why, near-duplicates, label error candidates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from slimline.pipeline.artifact import Artifact, Facts, write_text
from slimline.stages.data.expectation import expectation
from slimline.stages.data.splitting.config import SPLITS
from slimline.stages.data.storing.pictures import Picture, Role, read_pictures
from slimline.stages.pages.render import render
from slimline.stages.pages.tables import bar
from slimline.stages.pages.thumbnails import address
from slimline.stages.scoring.cautions import cautions
from slimline.stages.scoring.sample_sizes import few_photos, marks

PAGE = "dataset.html"
MOST_ROWS = 200
IMBALANCE = 10
EDGES_PX = (64, 128, 192, 256, 384, 512, 768, 1024, 2048, 4096)
COLUMNS = ["path", "label", "split", "outcome", "reason", "note", "width", "height", "size_bytes", "format"]
DEPTHS = (10, 20, 50, 100, 200, 500, 1000)

Rows = Sequence[Sequence[str]]


def write_page(out: Path, ingest: Artifact, review: Artifact | None) -> Facts:
    """Write `dataset.html` from ingest's artifact, with the candidates for label errors if `review` ran.

    Returns:
        The facts of the `dataset` stage.
    """
    index = pq.read_table(ingest.path / "index.parquet", columns=COLUMNS)
    used = index.filter(pc.equal(index["outcome"], "used"))
    classes = (ingest.path / "labels.txt").read_text(encoding="utf-8").splitlines()
    pictures = read_pictures(ingest.path)
    drawn = ingest.facts["origin"] != "photos"
    text = render(
        PAGE,
        title=f"Dataset: {ingest.facts['photos']:,} {'drawn flowers' if drawn else 'photos'}, {len(classes):,} classes",
        drawn=drawn,
        facts=ingest.facts,
        numbers=_numbers(ingest.facts),
        splits=SPLITS,
        **_classes(used, classes),
        **_sizes(used),
        label_errors=_label_errors(review) if review else None,
        **_examples(index, pictures, classes),
        left_out={name: _left_out(index, name) for name in ("quarantined", "duplicate", "skipped")},
        quarantined=[_shown(one, index) for one in pictures if one.role is Role.quarantined],
        twins=_twins(ingest.path, index, pictures),
        passed_over={
            f"{name} files, not in index.parquet": count for name, count in ingest.facts["passed_over"].items()
        },
        notes=[[note, f"{count:,}"] for note, count in _counts(index["note"]).most_common(MOST_ROWS)],
    )
    write_text(out / PAGE, text)
    return {"size_mb": len(text.encode()) / 1e6, "headline": f"dataset   {{path}}/{PAGE}"}


def _numbers(facts: Facts) -> dict[str, str]:
    names = ("photos", *SPLITS, "quarantined", "duplicates", "near_twins", "skipped")
    return {name.replace("_", "-"): f"{facts[name]:,}" for name in names}


def _classes(used: pa.Table, classes: Sequence[str]) -> dict[str, Any]:
    """Return a row for each class, with a mark of few photos, and warnings of few test photos and of imbalance."""
    found = used.group_by(["label", "split"]).aggregate([([], "count_all")]).to_pylist()
    counts = {(row["label"], row["split"]): row["count_all"] for row in found}
    by_split = {name: [counts.get((name, split), 0) for split in SPLITS] for name in classes}
    totals = {name: sum(row) for name, row in by_split.items()}
    tested, trained = ({name: counts.get((name, split), 0) for name in classes} for split in ("test", "train"))
    few = few_photos(tested, trained)
    marked = marks(few, "test")
    largest, smallest = max(classes, key=totals.__getitem__), min(classes, key=totals.__getitem__)
    ratio = totals[largest] / max(1, totals[smallest])
    return {
        "classes": [
            [
                name,
                f"{totals[name]:,}",
                *(f"{count:,}" for count in row),
                bar(totals[name], totals[largest]),
                *([marked.get(name, "")] if marked else []),
            ]
            for name, row in by_split.items()
        ],
        "marked": bool(marked),
        "cautions": cautions({"count": sum(tested.values()), "split": "test", "few_photos": few}),
        "imbalance": f"{largest} has {ratio:,.0f} times as many photos as {smallest}" if ratio >= IMBALANCE else None,
    }


def _sizes(used: pa.Table) -> dict[str, Any]:
    """Return statistics of the photos' sizes, and a row for each range of the shorter side."""
    shorter = np.minimum(_numbers_in(used, "width"), _numbers_in(used, "height"))
    size_bytes = _numbers_in(used, "size_bytes")
    counts = np.histogram(shorter, (0, *EDGES_PX, 1 << 31))[0].tolist()
    names = [
        f"under {EDGES_PX[0]} px",
        *(f"{low:,} to {high - 1:,} px" for low, high in pairwise(EDGES_PX)),
        f"{EDGES_PX[-1]:,} px and more",
    ]
    return {
        "sizes": {
            "all photos": f"{size_bytes.sum() / 1e6:,.1f} MB",
            "median per photo": f"{np.median(size_bytes) / 1e3:,.0f} KB",
            "median shorter side": f"{np.median(shorter):,.0f} px",
            **{f"format {name}": count for name, count in _counts(used["format"]).most_common()},
        },
        "sides": [
            [name, f"{count:,}", bar(count, max(counts))] for name, count in zip(names, counts, strict=True) if count
        ],
    }


def _numbers_in(table: pa.Table, name: str) -> NDArray[Any]:
    found: NDArray[Any] = table[name].fill_null(0).to_numpy()
    return found


def _counts(column: pa.ChunkedArray) -> Counter[str]:
    return Counter({row["values"]: row["counts"] for row in pc.value_counts(column.drop_null()).to_pylist()})


def _left_out(index: pa.Table, outcome: str) -> dict[str, Any]:
    """Return path, class and reason of the first photos with an outcome, and how many more there are."""
    found = index.filter(pc.equal(index["outcome"], outcome))
    rows = found.slice(0, MOST_ROWS).select(["path", "label", "reason"]).to_pylist()
    return {
        "rows": [[row["path"], row["label"] or "", row["reason"] or ""] for row in rows],
        "more": len(found) - len(rows),
    }


def _examples(index: pa.Table, pictures: Sequence[Picture], classes: Sequence[str]) -> dict[str, Any]:
    """Return the pictures of each class, and how many classes have none."""
    found: dict[str, list[dict[str, Any]]] = {}
    for one in pictures:
        if one.role is Role.example:
            shown = _shown(one, index)
            found.setdefault(shown["label"], []).append(shown)
    return {"examples": found, "classes_not_shown": len(classes) - len(found)}


def _twins(ingest: Path, index: pa.Table, pictures: Sequence[Picture]) -> dict[str, Any]:
    """Return the pictures of near-duplicate pairs, the number of pairs, and the number with two labels."""
    labels = pq.read_table(ingest / "twins.parquet", columns=["first_label", "second_label"])
    shown = []
    for one in pictures:
        if one.role is Role.twin and one.other is not None:
            photo = _shown(one, index)
            words = f"{photo['path']}, which looks like {_row(index, one.other)['path']}"
            shown.append({**photo, "words": words})
    return {
        "pairs": len(labels),
        "two_labels": pc.sum(pc.not_equal(labels["first_label"], labels["second_label"])).as_py() or 0,
        "pictures": shown,
    }


def _label_errors(review: Artifact) -> dict[str, Any]:
    """Return the pictures of the candidates with their labels and predictions, and what to expect of them."""
    rows = pq.read_table(review.path / "label_errors.parquet")
    shown = []
    for one in read_pictures(review.path):
        row = _row(rows, one.row)
        words = f"label {row['label']}, predicted {row['named']}"
        shown.append({**row, "picture": address(one.jpeg), "words": words})
    expected = expectation(review.facts)
    ranks = pq.read_table(review.path / "planted_errors.parquet", columns=["rank"])["rank"].drop_null().to_numpy()
    depths = [depth for depth in DEPTHS if depth < expected.tested] + [expected.tested]
    return {
        "pictures": shown,
        "expected": expected,
        "depths": [[f"{depth:,}", f"{(ranks <= depth).sum():,}"] for depth in depths] if expected.found else [],
    }


def _shown(one: Picture, index: pa.Table) -> dict[str, Any]:
    """Return a picture in the form that the page's grids take, with the photo's row of the index."""
    row = _row(index, one.row)
    state = row["split"] if row["outcome"] == "used" else row["outcome"].replace("_", " ")
    words = f"{row['label'] or 'without a class'}, {state}"
    return {**row, "picture": address(one.jpeg), "words": words, "state": state}


def _row(table: pa.Table, number: int) -> Mapping[str, Any]:
    [row] = table.slice(number, 1).to_pylist()
    found: Mapping[str, Any] = row
    return found
