"""An evaluated run, read from its folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
from omegaconf import OmegaConf

from slimline.pipeline.errors import UserError
from slimline.stages.exporting.measurements import FILE, read_formats

METRICS, PREDICTIONS = "metrics.json", "predictions.parquet"


class FinishedRun(NamedTuple):
    """The name, settings and measurements of a run.

    `name` is its folder, `settings` are by full name. `predictions` maps each photo's sha256 to its true and its
    predicted class. `history` is None for a run that only evaluated. `formats` is empty if nothing was exported.
    """

    name: str
    settings: dict[str, Any]
    metrics: dict[str, Any]
    predictions: dict[str, tuple[str, str]]
    history: dict[str, list[Any]] | None
    formats: dict[str, dict[str, Any]]
    seconds: float


def evaluation(run: Path) -> Path:
    """Return the folder of a run's measurements: those of its cross-validation, or of its model."""
    pooled = run / "artifacts/crossval"
    return pooled if pooled.is_dir() else run / "artifacts/evaluate"


def require_evaluated(run: Path) -> None:
    """Raise a UserError unless a run's folder exists and contains an evaluation."""
    if not (evaluation(run) / METRICS).is_file():
        what = "has no evaluation" if (run / "manifest.json").is_file() else "is not a run"
        raise UserError(f"{run} {what}.", "Name runs that completed evaluate, such as runs/flowers/latest.")


def read_run(run: Path) -> FinishedRun:
    """Read an evaluated run."""
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    rows = pq.read_table(evaluation(run) / PREDICTIONS, columns=["sha256", "label", "predicted"]).to_pylist()
    history, export = run / "artifacts/train/history.parquet", run / "artifacts/export"
    return FinishedRun(
        str(run.resolve().relative_to(Path.cwd()) if run.resolve().is_relative_to(Path.cwd()) else run),
        dict(_flat(OmegaConf.to_container(OmegaConf.load(run / "config.yaml")))),
        json.loads((evaluation(run) / METRICS).read_text(encoding="utf-8")),
        {row["sha256"]: (row["label"], row["predicted"]) for row in rows},
        pq.read_table(history).to_pydict() if history.is_file() else None,
        read_formats(export) if (export / FILE).is_file() else {},
        sum(entry["seconds"] for entry in manifest["stages"].values()),
    )


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of a nested config by their full names; a list is one value."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _flat(inner, f"{prefix}.{name}" if prefix else str(name))
    else:
        yield prefix, value
