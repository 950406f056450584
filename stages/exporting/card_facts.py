"""The facts of a model card: the model, its accuracy, its training data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slimline.pipeline.artifact import write_json
from slimline.stages.exporting.measurements import with_present_names
from slimline.stages.models.description import Description

FILE = "model_card.json"
DATA = ("origin", "train", "validation", "test", "quarantined", "duplicates")
METRICS = (
    "split",
    "count",
    "top1",
    "balanced_accuracy",
    "log_loss",
    "calibration_error",
    "reject_threshold",
    "accepted",
    "trained_on",
    "few_photos",
    "validation_photos",
    "calibrated",
    "reject_precision",
    "cross_validation",
)
PER_CLASS = ("precision", "recall", "recall_interval", "support")


def card_facts(
    about: Description,
    data: Mapping[str, Any],
    metrics: Mapping[str, Any],
    formats: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """Return the facts of a model card as JSON values, from ingest's facts, the metrics and the measured formats."""
    return {
        "labels": about.labels,
        "network": about.network,
        "base_weights": about.base_weights,
        "input_px": about.preprocessing.input_px,
        "data": {name: data[name] for name in DATA},
        "metrics": card_metrics(metrics),
        "formats": {name: dict(row) for name, row in formats.items()},
    }


def card_metrics(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metrics that a model card shows."""
    return {
        **{name: metrics[name] for name in METRICS if name in metrics},
        "top1_interval": metrics["intervals"]["top1"],
        "balanced_accuracy_interval": metrics["intervals"]["balanced_accuracy"],
        "per_class": {label: {name: row[name] for name in PER_CLASS} for label, row in metrics["per_class"].items()},
    }


def write_card_facts(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write `model_card.json` into an export's folder."""
    write_json(folder / FILE, facts)


def read_card_facts(folder: Path) -> dict[str, Any] | None:
    """Read the `model_card.json` of an export; return None if it has none, as exports of earlier versions."""
    path = folder / FILE
    if not path.is_file():
        return None
    facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return {**facts, "formats": {name: with_present_names(row) for name, row in facts["formats"].items()}}
