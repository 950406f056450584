"""Review: the labels that the features contradict, in a table and on the data set's page."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from omegaconf import II

from slimline.pipeline.artifact import Artifact, Facts, write_text
from slimline.pipeline.config import require_range
from slimline.pipeline.stage import stage
from slimline.stages.data.splitting.config import SPLITS

MOST_PICTURES = 48


@dataclass
class ReviewConfig:
    """How to cross-validate: in `folds` parts, `block_photos` at a time, so that memory is bounded."""

    folds: int = 5
    block_photos: int = 20_000
    seed: int = II("run.seed")

    def __post_init__(self) -> None:
        require_range("review.folds", self.folds, 2, 100)
        require_range("review.block_photos", self.block_photos, 100, 10_000_000)


@stage()
def review(config: ReviewConfig, out: Path, *, ingest: Artifact, features: Artifact) -> Facts:
    """Write `label_errors.parquet`, a row a photo whose label is likely wrong, and `dataset.html`, which shows them.

    The rows, the surest first: path, label, `named` (what the other photos say that it shows), the probabilities of
    both, split, sha256.
    """
    from slimline.stages.data.label_errors import doubt_labels
    from slimline.stages.data.storing.features import feature_blocks

    classes = (ingest.path / "labels.txt").read_text(encoding="utf-8").splitlines()
    found: list[dict[str, Any]] = []
    count = right = 0
    paths = [features.path / f"{split}.arrow" for split in SPLITS]
    for values, labels, sha256s in feature_blocks(paths, config.block_photos):
        doubts = doubt_labels(values, labels, config.folds, config.seed)
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
    found = _with_places(ingest.path, found)
    _write_rows(found, out / "label_errors.parquet")
    _write_page(ingest.path, found, count, out)
    return {
        "images": count,
        "cross_validated_top1": right / count,
        "likely_label_errors": len(found),
        "headline": f"labels    {len(found):,} of {count:,} look wrong, see {{path}}/dataset.html",
    }


def _with_places(ingest: Path, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add where each photo is, and put the surest first."""
    import pyarrow.parquet as pq

    columns = ["sha256", "path", "split", "shard", "offset", "length"]
    wanted = [("outcome", "=", "used"), ("sha256", "in", [row["sha256"] for row in found])]
    rows = pq.read_table(ingest / "index.parquet", columns=columns, filters=wanted).to_pylist() if found else []
    places = {row["sha256"]: row for row in rows}
    return sorted(({**places[row["sha256"]], **row} for row in found), key=lambda row: (-row["score"], row["sha256"]))


def _write_rows(found: list[dict[str, Any]], path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    text, number = pa.string(), pa.float64()
    names = {"path": text, "label": text, "named": text, "score": number, "label_score": number}
    schema = pa.schema([*names.items(), ("split", text), ("sha256", text)])
    pq.write_table(pa.Table.from_pylist([{name: row[name] for name in schema.names} for row in found], schema), path)


def _write_page(ingest: Path, found: list[dict[str, Any]], count: int, out: Path) -> None:
    """Put the likely label errors into the data set's page, where that has a place for them."""
    from slimline.stages.data.storing.records import read_record
    from slimline.stages.pages.dataset import LABEL_ERRORS, PAGE
    from slimline.stages.pages.elements import pictures
    from slimline.stages.pages.thumbnails import thumbnail

    items = []
    for row in found[:MOST_PICTURES]:
        record = read_record(ingest, row["shard"], row["offset"], row["length"])
        below = (
            f"labelled <b>{escape(row['label'])}</b>, looks like <b>{escape(row['named'])}</b> ({row['score']:.0%})"
            f"<br><small>{escape(row['path'])}, {row['split']}</small>"
        )
        encoded = record["image/encoded"].bytes_list.value[0]
        items.append((thumbnail(encoded), f"{row['label']} that looks like {row['named']}", below))
    said = (
        f"<h2>Likely label errors ({len(items):,} of {len(found):,})</h2><p>Of {count:,} photos, each named by a model"
        " that learnt from others only. All are in label_errors.parquet.</p>"
    )
    page = (ingest / PAGE).read_text(encoding="utf-8")
    write_text(out / PAGE, page.replace(LABEL_ERRORS, said + pictures(items), 1))
