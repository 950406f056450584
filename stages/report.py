"""Report: one self-contained page that says what was done and how well it went. Always runs last."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slimline.pipeline.artifact import Artifact, Facts, write_text
from slimline.pipeline.config import require_range
from slimline.pipeline.stage import RunRecord, stage

if TYPE_CHECKING:
    from slimline.stages.pages.report import Look, Shown

MOST_DOUBTED = 50


@dataclass
class ReportConfig:
    """How many photos to show: mistakes, least certain ones, behind a number of the confusion matrix, looked into."""

    mistakes: int = 24
    uncertain: int = 12
    per_cell: int = 12
    looks: int = 4

    def __post_init__(self) -> None:
        for name in ("mistakes", "uncertain", "per_cell", "looks"):
            require_range(f"report.{name}", getattr(self, name), 0, 1000)


@stage(cache=False)
def report(
    config: ReportConfig,
    out: Path,
    *,
    ingest: Artifact,
    train: Artifact,
    evaluate: Artifact,
    export: Artifact,
    run: RunRecord,
) -> Facts:
    """Write `report.html`, with everything it shows inside."""
    import pyarrow.parquet as pq

    from slimline.stages.exporting.measurements import read_formats
    from slimline.stages.models.card import read_card
    from slimline.stages.pages.report import Report, page

    metrics: dict[str, Any] = json.loads((evaluate.path / "metrics.json").read_text(encoding="utf-8"))
    card = read_card(train.path)
    predictions = pq.read_table(evaluate.path / "predictions.parquet").to_pylist()
    wrong = [row for row in predictions if row["label"] != row["predicted"]]
    mistakes = sorted(wrong, key=lambda row: (-row["score"], row["filename"]))[: config.mistakes]
    uncertain = sorted(predictions, key=lambda row: (row["score"], row["filename"]))[: config.uncertain]
    behind = _behind_cells(predictions, card.labels, config.per_cell)
    looked = (mistakes + uncertain)[: config.looks]
    with ThreadPoolExecutor(1) as executor:  # pictures are made in C, and the network's graph in Python
        making = executor.submit(
            _pictures, ingest.path, metrics["split"], [mistakes, uncertain, *(rows for rows, _ in behind.values())]
        )
        looks = _looks(evaluate.path, ingest.path, metrics["split"], card.labels, looked)
        pictures = making.result()
    shown = {row["sha256"] for row in mistakes + uncertain}
    review = run.artifacts.get("review")
    text = page(
        Report(
            metrics=metrics,
            facts={name: artifact.facts for name, artifact in run.artifacts.items()},
            labels=card.labels,
            network=card.network,
            trained=card.trained,
            history=pq.read_table(train.path / "history.parquet").to_pydict(),
            curves=pq.read_table(evaluate.path / "curves.parquet").to_pylist(),
            cells={place: _cell(rows, more, pictures, shown) for place, (rows, more) in behind.items()},
            mistakes=_shown(mistakes, pictures),
            uncertain=_shown(uncertain, pictures),
            looks=looks,
            doubted=_doubted(review.path) if review else [],
            formats=read_formats(export.path),
            manifest=run.manifest,
            cpu_seconds=time.process_time(),
            config_yaml=(run.path / "config.yaml").read_text(encoding="utf-8"),
            environment=json.loads((run.path / "environment.json").read_text(encoding="utf-8")),
        )
    )
    write_text(out / "report.html", text)
    return {"size_mb": len(text.encode()) / 1e6, "headline": "report    {path}/report.html"}


Rows = Sequence[dict[str, Any]]


def _behind_cells(predictions: Rows, labels: list[str], most: int) -> dict[tuple[int, int], tuple[Rows, int]]:
    """Return for each (true, named) some photos, the surest first, and how many more there are."""
    places = {label: number for number, label in enumerate(labels)}
    cells: dict[tuple[int, int], list[dict[str, Any]]] = defaultdict(list)
    for row in sorted(predictions, key=lambda row: (-row["score"], row["filename"])):
        cells[places[row["label"]], places[row["predicted"]]].append(row)
    return {place: (rows[:most], len(rows) - len(rows[:most])) for place, rows in cells.items() if most}


def _pictures(ingest: Path, split: str, groups: Iterable[Rows]) -> dict[str, str]:
    from slimline.stages.pages.thumbnails import thumbnails

    return thumbnails(ingest, split, {row["sha256"] for rows in groups for row in rows})


def _shown(rows: Rows, pictures: dict[str, str]) -> list[Shown]:
    from slimline.stages.pages.report import Shown

    return [
        Shown(row["sha256"], pictures[row["sha256"]], row["filename"], row["label"], row["predicted"], row["score"])
        for row in rows
    ]


def _cell(rows: Rows, more: int, pictures: dict[str, str], shown: set[str]) -> dict[str, Any]:
    """Return what a click on a cell shows; pictures that the page holds elsewhere aren't there twice."""
    photos = []
    for row in rows:
        photo = {"key": row["sha256"], "name": row["filename"], "score": round(row["score"], 4)}
        photos.append(photo if row["sha256"] in shown else {**photo, "picture": pictures[row["sha256"]]})
    return {"photos": photos, "more": more}


def _looks(evaluate: Path, ingest: Path, split: str, labels: list[str], rows: Rows) -> list[Look]:
    """Cover some photos part by part, and light up what their names rest on."""
    import numpy as np

    from slimline.stages.data.storing.photos import Photos
    from slimline.stages.evaluation.occlusion import covered, overlay, score_drops
    from slimline.stages.evaluation.predictions import SAVED_MODEL
    from slimline.stages.images.batches import AT_ONCE, BATCH_SIZE, padded
    from slimline.stages.images.parallel import in_parallel
    from slimline.stages.models.saved_model import open_saved_model
    from slimline.stages.pages.report import Look
    from slimline.stages.pages.thumbnails import address
    from slimline.stages.scoring.probabilities import probabilities

    if not rows:
        return []
    photos = Photos(ingest, split)
    places = {key: number for number, key in enumerate(photos.sources)}
    encoded = [photos.encoded(places[row["sha256"]]) for row in rows]
    copies = [copy for one in encoded for copy in covered(one)]
    batches = [copies[start : start + BATCH_SIZE] for start in range(0, len(copies), BATCH_SIZE)]
    run = padded(open_saved_model(evaluate / SAVED_MODEL).logits, BATCH_SIZE)
    scores = np.split(probabilities(np.concatenate(list(in_parallel(run, batches, AT_ONCE)))), len(rows))
    drops = [score_drops(one, labels.index(row["predicted"])) for one, row in zip(scores, rows, strict=True)]
    found = [address(overlay(one, drop)) for one, drop in zip(encoded, drops, strict=True)]
    shown = _shown(rows, {row["sha256"]: "" for row in rows})
    return [Look(photo, picture) for photo, picture in zip(shown, found, strict=True)]


def _doubted(review: Path) -> Rows:
    import pyarrow.parquet as pq

    rows: Rows = pq.read_table(review / "label_errors.parquet").slice(0, MOST_DOUBTED).to_pylist()
    return rows
