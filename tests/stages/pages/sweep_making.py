"""Folders of sweeps for tests: `sweep.json`, `leaderboard.parquet`, and the artifacts and runs that they name."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from slimline.pipeline.artifact import write_json

TOP1, LOSS = "train.validation_top1", "train.validation_loss"
FIXED = ["+experiment=flowers", "ingest.images=my photos/"]
TYPES = {
    "rank": pa.int32(),
    "point": pa.int32(),
    "status": pa.string(),
    "score": pa.float64(),
    "spread": pa.float64(),
    "scores": pa.list_(pa.float64()),
    "pareto": pa.bool_(),
    "seconds": pa.float64(),
    "error": pa.string(),
    "overrides": pa.list_(pa.string()),
    "command": pa.string(),
    "artifacts": pa.list_(pa.string()),
    "members": pa.list_(pa.int32()),
    "run": pa.string(),
}
"""The columns of every board; `spread` and `pareto` as in the file that a sweep writes."""


def point(number: int, score: float | None, settings: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a point of one seed that trained alone; `more` replaces or adds columns."""
    overrides = [*(f"{name}={value}" for name, value in settings.items()), *FIXED]
    return {
        "point": number,
        "status": "completed" if score is not None else "failed",
        "score": score,
        "spread": None,
        "scores": [score],
        TOP1: score,
        LOSS: None if score is None else 1 - score,
        "seconds": 1.5,
        "error": "" if score is not None else "The loss is NaN.",
        **settings,
        "overrides": overrides,
        "command": shlex.join(["slimline", *overrides]),
        "artifacts": [f"../../../store/train/key{number}/1"],
        "members": [None],
        "run": "",
        **more,
    }


def write_sweep(runs: Path, points: Sequence[dict[str, Any]], name: str = "s003", **about: Any) -> Path:
    """Write `flowers/sweeps/<name>` in a folder of runs, with the points in their order; `about` replaces the record's.

    The settings are those of the first point, in their order.
    """
    folder = runs / "flowers/sweeps" / name
    folder.mkdir(parents=True)
    known = {*TYPES, TOP1, LOSS, *about.get("columns", []), *(one["name"] for one in about.get("metrics", []))}
    settings = [column for column in points[0] if column not in known] if points else []
    record = {
        "format": 1,
        "status": "completed",
        "experiment": "flowers",
        "command": ["-m", *FIXED, *(f"{setting}=..." for setting in settings)],
        "target": "train",
        "metrics": [{"name": TOP1, "maximize": True}],
        "tie": {"name": LOSS, "maximize": False},
        "columns": [],
        "settings": settings,
        "fixed": FIXED,
        "seeds": 1,
        "started": "2026-11-28T10:27:02+00:00",
        "seconds": 12.5,
        "winner": next((one["point"] for one in points if one["score"] is not None), None),
        "runs": {str(one["point"]): one["run"] for one in points if one["run"]},
        **about,
    }
    write_json(folder / "sweep.json", record)
    ranks = iter(range(1, len(points) + 1))
    rows = [{"rank": next(ranks) if one["score"] is not None else None, **one} for one in points]
    columns = {
        column: pa.array([row[column] for row in rows], TYPES.get(column))
        for column in (rows[0] if rows else ["rank", *TYPES])
        if column != "pareto" or len(record["metrics"]) > 1
    }
    pq.write_table(pa.table(columns), folder / "leaderboard.parquet")
    return folder


def write_history(folder: Path, artifact: str, members: int | None = None, photos: int = 0) -> None:
    """Write the history of a training, or of a stack with some members, of three epochs each."""
    path = folder / artifact
    path.mkdir(parents=True)
    rows = [
        {
            **({} if member is None else {"member": member}),
            "phase": "head",
            "epoch": epoch,
            "validation_accuracy": 0.5 + epoch / 10 + (member or 0) / 100,
            "validation_loss": 1.0 / epoch,
        }
        for member in ([None] if members is None else range(members))
        for epoch in (1, 2, 3)
    ]
    pq.write_table(pa.Table.from_pylist(rows), path / "history.parquet")
    if photos:
        pq.write_table(pa.table({"label": [0] * photos}), path / "validation.parquet")


def write_run(folder: Path, run: str, **manifest: Any) -> Path:
    """Write a full run of a sweep, with its report."""
    path = folder.parents[1] / run
    path.mkdir(parents=True)
    write_json(path / "manifest.json", {"stages": {}, "sweep": {"of": folder.name, "point": 0}, **manifest})
    (path / "report.html").write_text("<!doctype html><title>report</title>", encoding="utf-8")
    return path
