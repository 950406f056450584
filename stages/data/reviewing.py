"""The work of the `review` stage: list likely label errors in a table, with small pictures of the first ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from slimline.pipeline.artifact import Facts
from slimline.stages.data.label_errors import doubt_labels
from slimline.stages.data.splitting.config import SPLITS
from slimline.stages.data.storing.features import feature_blocks
from slimline.stages.data.storing.pictures import Picture, Role, write_pictures
from slimline.stages.data.storing.records import read_record
from slimline.stages.images.thumbnail import thumbnail

FILE = "label_errors.parquet"
SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("label", pa.string()),
        ("named", pa.string()),
        ("score", pa.float64()),
        ("label_score", pa.float64()),
        ("split", pa.string()),
        ("sha256", pa.string()),
    ]
)
MOST_PICTURES = 48


def review_labels(ingest: Path, features: Path, out: Path, *, folds: int, block_photos: int, seed: int) -> Facts:
    """Write `label_errors.parquet`, most confident first, and `pictures.arrow`; return the facts of the `review` stage.

    Features are read `block_photos` photos at a time, and cross-validated in `folds` parts.
    """
    classes = (ingest / "labels.txt").read_text(encoding="utf-8").splitlines()
    found: list[dict[str, Any]] = []
    count = right = 0
    paths = [features / f"{split}.arrow" for split in SPLITS]
    for values, labels, sha256s in feature_blocks(paths, block_photos):
        doubts = doubt_labels(values, labels, folds, seed)
        count += len(labels)
        right += int((doubts.named == labels).sum())
        found += [
            {
                "label": classes[labels[row]],
                "named": classes[doubts.named[row]],
                "score": float(doubts.scores[row]),
                "label_score": float(doubts.label_scores[row]),
                "sha256": sha256s[row].as_py(),
            }
            for row in doubts.doubtful.nonzero()[0]
        ]
    found = _with_places(ingest, found)
    rows = [{name: row[name] for name in SCHEMA.names} for row in found]
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), out / FILE)
    write_pictures(out, _pictures(ingest, found[:MOST_PICTURES]))
    return {
        "images": count,
        "cross_validated_top1": right / count,
        "likely_label_errors": len(found),
        "headline": f"labels    {len(found):,} of {count:,} look wrong",
    }


def _with_places(ingest: Path, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add each photo's place in the shards, and sort the rows, most confident first."""
    columns = ["sha256", "path", "split", "shard", "offset", "length"]
    wanted = [("outcome", "=", "used"), ("sha256", "in", [row["sha256"] for row in found])]
    rows = pq.read_table(ingest / "index.parquet", columns=columns, filters=wanted).to_pylist() if found else []
    places = {row["sha256"]: row for row in rows}
    return sorted(({**places[row["sha256"]], **row} for row in found), key=lambda row: (-row["score"], row["sha256"]))


def _pictures(ingest: Path, found: Iterable[dict[str, Any]]) -> Iterator[Picture]:
    for number, row in enumerate(found):
        record = read_record(ingest, row["shard"], row["offset"], row["length"])
        yield Picture(number, Role.label_error, thumbnail(record["image/encoded"].bytes_list.value[0]))
