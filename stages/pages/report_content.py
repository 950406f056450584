"""The content of the report, read from a run's artifacts and its record."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from slimline.pipeline.artifact import Artifact
from slimline.pipeline.memo import Memo
from slimline.pipeline.stage import RunRecord
from slimline.stages.exporting.measurements import read_formats
from slimline.stages.models.card import read_card
from slimline.stages.pages.occlusion_maps import occlusion_maps
from slimline.stages.pages.report_config import ReportConfig
from slimline.stages.pages.shown_photos import (
    Row,
    Rows,
    Shown,
    behind_cells,
    cell_photos,
    least_sure,
    most_wrong,
    shown_photo,
)
from slimline.stages.pages.thumbnails import thumbnails
from slimline.stages.training.learning_rate_finder import Trial, suggest

MOST_DOUBTED = 50


class Look(NamedTuple):
    """An occlusion map: a photo, and its picture, which is bright where the predicted class depends on it."""

    photo: Shown
    picture: str

    @property
    def words(self) -> str:
        """The alternative text of the picture."""
        return f"occlusion map of {self.photo.filename} for {self.photo.predicted}"


class RateTest(NamedTuple):
    """A learning-rate range test of a phase: the smoothed loss at each rate, and the rate where it falls fastest."""

    phase: str
    rates: Sequence[float]
    losses: Sequence[float]
    suggested: float


class Report(NamedTuple):
    """The content of the page.

    `cells` are the photos of the confusion matrix, in the form that `confusion_matrix` takes, `doubted` the rows of
    candidates for label errors, `formats` the measurements of each export, `left_out` a text for each format that
    failed. `cpu_seconds` is the processor time of this run.
    """

    metrics: Row
    facts: Mapping[str, Row]
    labels: Sequence[str]
    network: str
    trained: bool
    history: Mapping[str, Sequence[Any]]
    rate_tests: Sequence[RateTest]
    curves: Rows
    cells: Mapping[tuple[int, int], Row]
    mistakes: Sequence[Shown]
    uncertain: Sequence[Shown]
    looks: Sequence[Look]
    doubted: Rows
    formats: Mapping[str, Row]
    left_out: Sequence[str]
    manifest: Row
    cpu_seconds: float
    config_yaml: str
    environment: Row


def gather_report(
    config: ReportConfig,
    *,
    ingest: Artifact,
    train: Artifact,
    evaluate: Artifact,
    export: Artifact | None,
    run: RunRecord,
    memo: Memo,
) -> Report:
    """Read the content of the page, and make its pictures and occlusion maps."""
    metrics: dict[str, Any] = json.loads((evaluate.path / "metrics.json").read_text(encoding="utf-8"))
    card = read_card(train.path)
    predictions = pq.read_table(evaluate.path / "predictions.parquet").to_pylist()
    mistakes, uncertain = most_wrong(predictions, config.mistakes), least_sure(predictions, config.uncertain)
    behind = behind_cells(predictions, card.labels, config.per_cell)
    looked = (mistakes + uncertain)[: config.looks]
    wanted = {row["sha256"] for rows in (mistakes, uncertain, *(rows for rows, _ in behind.values())) for row in rows}
    with ThreadPoolExecutor(1) as executor:  # thumbnails are made in C, the network's graph in Python
        making = executor.submit(thumbnails, ingest.path, metrics["split"], wanted)
        maps = occlusion_maps(evaluate.path, train.path, ingest.path, metrics["split"], looked, memo)
        pictures = making.result()
    elsewhere = {row["sha256"] for row in mistakes + uncertain}
    history = pq.read_table(train.path / "history.parquet").to_pydict()
    review = run.artifacts.get("review")
    return Report(
        metrics=metrics,
        facts={name: artifact.facts for name, artifact in run.artifacts.items()},
        labels=card.labels,
        network=card.network,
        trained=card.trained,
        history=history,
        rate_tests=read_rate_tests(train.path, list(dict.fromkeys(history.get("phase", [])))),
        curves=pq.read_table(evaluate.path / "curves.parquet").to_pylist(),
        cells={
            place: cell_photos(rows, more, pictures, elsewhere, metrics["reject_threshold"] or 0.0)
            for place, (rows, more) in behind.items()
        },
        mistakes=[shown_photo(row, pictures[row["sha256"]]) for row in mistakes],
        uncertain=[shown_photo(row, pictures[row["sha256"]]) for row in uncertain],
        looks=[Look(shown_photo(row, ""), picture) for row, picture in zip(looked, maps, strict=True)],
        doubted=_doubted(review.path) if review else [],
        formats=read_formats(export.path) if export else {},
        left_out=export.facts.get("failures", []) if export else [],
        manifest=run.manifest,
        cpu_seconds=time.process_time(),
        config_yaml=(run.path / "config.yaml").read_text(encoding="utf-8"),
        environment=json.loads((run.path / "environment.json").read_text(encoding="utf-8")),
    )


def read_rate_tests(train: Path, phases: Sequence[str]) -> list[RateTest]:
    """Read the learning-rate range tests of a training, in the order of its phases."""
    found = []
    for phase in phases:
        path = train / f"learning_rate_{phase}.parquet"
        if path.is_file():
            columns = pq.read_table(path).to_pydict()
            rates, losses = columns["learning_rate"], columns["loss"]
            trials = [Trial(rate, loss) for rate, loss in zip(rates, losses, strict=True)]
            found.append(RateTest(phase, rates, losses, suggest(trials)))
    return found


def _doubted(review: Path) -> Rows:
    rows: Rows = pq.read_table(review / "label_errors.parquet").slice(0, MOST_DOUBTED).to_pylist()
    return rows
