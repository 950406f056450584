"""The tables of the report, and the numbers at its top, as text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from slimline.stages.pages.render import decimals, interval, percent, plain
from slimline.stages.pages.tables import Table
from slimline.stages.scoring.cautions import split_name, trained_on
from slimline.stages.scoring.sample_sizes import marks

TOP = re.compile(r"top\d+")


def numbers(metrics: Mapping[str, Any]) -> dict[str, str]:
    """Return the most important metrics by name."""
    return {
        "top-1": percent(metrics["top1"]),
        "top-1, 95% interval": interval(metrics["intervals"]["top1"]),
        **{f"top-{name[3:]}": percent(metrics[name]) for name in metrics if TOP.fullmatch(name) and name != "top1"},
        "balanced accuracy": percent(metrics["balanced_accuracy"]),
        "balanced accuracy, 95% interval": interval(metrics["intervals"]["balanced_accuracy"]),
        "macro F1": percent(metrics["macro_f1"]),
        "log loss": decimals(metrics["log_loss"]),
        "calibration error": decimals(metrics["calibration_error"]),
        "photos that trained the model": trained_on(metrics),
    }


def class_table(metrics: Mapping[str, Any]) -> Table:
    """Return the metrics of each class, and their means over classes and over photos; few photos are marked."""
    few = marks(metrics["few_photos"], split_name(metrics["split"]))
    lines = [
        [
            name,
            *_shares(row, interval(row["recall_interval"])),
            percent(row["roc_auc"]),
            percent(row["average_precision"]),
            f"{row['support']:,}",
            few.get(name, ""),
        ]
        for name, row in metrics["per_class"].items()
    ]
    areas = [percent(metrics["roc_auc"]), percent(metrics["average_precision"])]
    lines.append(["macro average", *_shares(metrics["macro"]), *areas, "", ""])
    lines.append(["weighted average", *_shares(metrics["weighted"]), "", "", f"{metrics['count']:,}", ""])
    names = ["class", "precision", "recall", "recall, 95% interval", "F1", "ROC AUC", "average precision", "photos"]
    if few:
        return Table([*names, "few photos"], lines, texts=(0, len(names)))
    return Table(names, [line[:-1] for line in lines])


def _shares(row: Mapping[str, float], recall_interval: str = "") -> list[str]:
    return [percent(row["precision"]), percent(row["recall"]), recall_interval, percent(row["f1"])]


def label_error_table(found: Sequence[Mapping[str, Any]]) -> Table:
    """Return the candidates for label errors."""
    lines = [[row["path"], row["label"], row["named"], f"{row['score']:.0%}", row["split"]] for row in found]
    return Table(["photo", "label", "predicted", "score", "split"], lines, texts=(0, 1, 2, 4))


def format_table(formats: Mapping[str, Mapping[str, Any]]) -> Table:
    """Return the measurements of each exported format."""
    lines = [
        [
            name,
            row["file"],
            f"{row['size_mb']:.1f} MB",
            percent(row["top1"]),
            f"{row['changed']} of {row['checked']:,}",
            f"{1e3 * row['latency_seconds']:.1f} ms",
            f"{1e3 * row['latency_p95_seconds']:.1f} ms",
            f"{row['images_per_second']:.0f}",
        ]
        for name, row in formats.items()
    ]
    names = ["format", "file", "size", "top-1", "changed", "median latency", "95th percentile", "photos per second"]
    return Table(names, lines, texts=(0, 1))


def stage_table(stages: Mapping[str, Mapping[str, Any]]) -> Table:
    """Return the state, key and time of each stage."""
    lines = [
        [name, "cached" if entry["cached"] else "ran", entry.get("key", "")[:12], f"{entry['seconds']:.1f} s"]
        for name, entry in stages.items()
    ]
    return Table(["stage", "state", "key", "time"], lines, texts=(0, 1))


def sweep_table(points: Sequence[Mapping[str, Any]]) -> Table:
    """Return the points of the sweep whose best point is this run, with the metrics of each."""
    names = [name for name in points[0] if name != "overrides"]
    lines = [[" ".join(row["overrides"]), *(plain(row[name]) for name in names)] for row in points]
    return Table(["point", *names], lines)
