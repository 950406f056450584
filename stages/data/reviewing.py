"""The work of the `review` stage: a table of candidates for wrong labels, with small pictures of the first ones."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from slimline.pipeline.artifact import Facts
from slimline.stages.data.expectation import expectation
from slimline.stages.data.label_errors import Doubts, PlantedErrors, doubt_labels
from slimline.stages.data.splitting.config import SPLITS
from slimline.stages.data.storing.features import feature_blocks
from slimline.stages.data.storing.pictures import Picture, Role, write_pictures
from slimline.stages.data.storing.records import read_record
from slimline.stages.images.thumbnail import thumbnail

FILE, PLANTED_FILE = "label_errors.parquet", "planted_errors.parquet"
SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("label", pa.string()),
        ("named", pa.string()),
        ("score", pa.float64()),
        ("label_score", pa.float64()),
        ("split", pa.string()),
        ("sha256", pa.string()),
        ("margin", pa.float64()),
    ]
)
PLANTED_SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("label", pa.string()),
        ("planted", pa.string()),
        ("rank", pa.int64()),
        ("sha256", pa.string()),
    ]
)
MOST_PICTURES = 48


def review_labels(ingest: Path, features: Path, out: Path, *, folds: int, block_photos: int, seed: int) -> Facts:
    """Write `label_errors.parquet`, most likely first, `planted_errors.parquet` and `pictures.arrow`; return the facts.

    Features are read `block_photos` photos at a time, and cross-validated in `folds` parts.
    """
    classes = (ingest / "labels.txt").read_text(encoding="utf-8").splitlines()
    found: list[dict[str, Any]] = []
    planted: list[dict[str, Any]] = []
    margins: list[Any] = [np.zeros(0, np.float32)]
    count = reviewed = right = 0
    paths = [features / f"{split}.arrow" for split in SPLITS]
    for values, labels, sha256s in feature_blocks(paths, block_photos):
        doubts, test = doubt_labels(values, labels, folds, seed)
        count += len(labels)
        reviewed += int(doubts.reviewed.sum())
        right += int((doubts.named == labels)[doubts.reviewed].sum())
        found += _candidate_rows(doubts, labels, sha256s, classes)
        planted += _planted_rows(test, labels, sha256s, classes)
        margins.append(test.candidates)
    places = _places(ingest, {row["sha256"] for row in found + planted})
    found = sorted(({**places[row["sha256"]], **row} for row in found), key=lambda row: (-row["margin"], row["sha256"]))
    _write(out / FILE, found, SCHEMA)
    _write(out / PLANTED_FILE, _ranked(planted, np.concatenate(margins), places), PLANTED_SCHEMA)
    write_pictures(out, _pictures(ingest, found[:MOST_PICTURES]))
    facts = {
        "images": count,
        "unreviewed": count - reviewed,
        "cross_validated_top1": right / reviewed if reviewed else None,
        "candidates": len(found),
        "planted": len(planted),
        "planted_found": sum(row["found"] for row in planted),
        "planted_candidates": sum(map(len, margins)),
    }
    return {**facts, "headline": expectation(facts).headline}


def _candidate_rows(doubts: Doubts, labels: Any, sha256s: pa.Array, classes: list[str]) -> list[dict[str, Any]]:
    return [
        {
            "label": classes[labels[row]],
            "named": classes[doubts.named[row]],
            "score": float(doubts.scores[row]),
            "label_score": float(doubts.label_scores[row]),
            "sha256": sha256s[row].as_py(),
            "margin": float(doubts.margins[row]),
        }
        for row in doubts.doubtful.nonzero()[0]
    ]


def _planted_rows(test: PlantedErrors, labels: Any, sha256s: pa.Array, classes: list[str]) -> list[dict[str, Any]]:
    return [
        {
            "label": classes[labels[row]],
            "planted": classes[wrong],
            "sha256": sha256s[row].as_py(),
            "found": bool(found),
            "margin": margin,
        }
        for row, wrong, found, margin in zip(test.photos.tolist(), test.labels, test.found, test.margins, strict=True)
    ]


def _ranked(planted: list[dict[str, Any]], margins: Any, places: Mapping[str, Mapping[str, Any]]) -> Any:
    """Add each planted error's path, and its rank from 1 among the candidates' `margins`, None if it was missed."""
    ascending = np.sort(margins)
    ranks = [
        len(ascending) - int(np.searchsorted(ascending, row["margin"], side="right")) + 1 if row["found"] else None
        for row in planted
    ]
    rows = [{**places[row["sha256"]], **row, "rank": rank} for row, rank in zip(planted, ranks, strict=True)]
    return sorted(rows, key=lambda row: (row["rank"] is None, row["rank"], row["sha256"]))


def _places(ingest: Path, sha256s: Collection[str]) -> dict[str, dict[str, Any]]:
    """Return the path, the split and the place in the shards of some photos, by sha256."""
    columns = ["sha256", "path", "split", "shard", "offset", "length"]
    wanted = [("outcome", "=", "used"), ("sha256", "in", list(sha256s))]
    rows = pq.read_table(ingest / "index.parquet", columns=columns, filters=wanted).to_pylist() if sha256s else []
    return {row["sha256"]: row for row in rows}


def _write(path: Path, rows: Iterable[Mapping[str, Any]], schema: pa.Schema) -> None:
    pq.write_table(pa.Table.from_pylist([{name: row[name] for name in schema.names} for row in rows], schema), path)


def _pictures(ingest: Path, found: Iterable[dict[str, Any]]) -> Iterator[Picture]:
    for number, row in enumerate(found):
        record = read_record(ingest, row["shard"], row["offset"], row["length"])
        yield Picture(number, Role.label_error, thumbnail(record["image/encoded"].bytes_list.value[0]))
