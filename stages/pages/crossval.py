"""The page of a cross-validation: the folds, the measures over all photos, the mistakes; and the card of the model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from slimline.pipeline.artifact import Artifact, Facts, write_text
from slimline.pipeline.stage import RunRecord
from slimline.stages.evaluation.folds import fold_name
from slimline.stages.pages.charts import curves_figure, reliability_figure
from slimline.stages.pages.confusion_matrix import confusion_matrix, most_confused
from slimline.stages.pages.crossval_report_config import CrossvalReportConfig
from slimline.stages.pages.model_card import FILE as CARD
from slimline.stages.pages.model_card import write_model_card
from slimline.stages.pages.render import decimals, interval, percent, render
from slimline.stages.pages.report_tables import class_table, numbers, stage_table
from slimline.stages.pages.shown_photos import Row, Rows, behind_cells, cell_photos, least_sure, most_wrong, shown_photo
from slimline.stages.pages.tables import Table
from slimline.stages.pages.thumbnails import thumbnails
from slimline.stages.scoring.cautions import cautions

PAGE = "crossval.html"
MEASURES = {"top1": "top-1", "balanced_accuracy": "balanced accuracy", "macro_f1": "macro F1", "log_loss": "log loss"}


def write_crossval(
    config: CrossvalReportConfig, out: Path, *, crossval: Artifact, export: Artifact | None, run: RunRecord
) -> Facts:
    """Write `crossval.html`, and `model_card.md` if a model was trained on all photos.

    Returns:
        The facts of the `crossval_report` stage.
    """
    metrics: dict[str, Any] = json.loads((crossval.path / "metrics.json").read_text(encoding="utf-8"))
    text = crossval_page(config, metrics, crossval, run)
    write_text(out / PAGE, text)
    headline = f"report    {{path}}/{PAGE}"
    if export:
        write_model_card(export.path, out, estimate=metrics)
        headline += f"\ncard      {{path}}/{CARD}, which estimates a top-1 of {percent(metrics['top1'])}"
    return {"size_mb": len(text.encode()) / 1e6, "headline": headline}


def crossval_page(config: CrossvalReportConfig, metrics: Mapping[str, Any], crossval: Artifact, run: RunRecord) -> str:
    """Return the page, which loads nothing from other hosts."""
    predictions = pq.read_table(crossval.path / "predictions.parquet").to_pylist()
    curves = pq.read_table(crossval.path / "curves.parquet").to_pylist()
    labels, matrix = list(metrics["per_class"]), metrics["confusion_matrix"]
    mistakes, uncertain = most_wrong(predictions, config.mistakes), least_sure(predictions, config.uncertain)
    behind = behind_cells(predictions, labels, config.per_cell)
    pictures = _pictures([*mistakes, *uncertain, *(row for rows, _ in behind.values() for row in rows)], run)
    elsewhere = {row["sha256"] for row in [*mistakes, *uncertain]}
    cells = {place: cell_photos(rows, more, pictures, elsewhere, 0.0) for place, (rows, more) in behind.items()}
    first = run.artifacts[f"ingest {fold_name(0)}"].facts
    return render(
        PAGE,
        title=f"{percent(metrics['top1'])} of {metrics['count']:,} {_kind(first)} classified correctly"
        f" in {len(metrics['folds'])}-fold cross-validation",
        metrics=metrics,
        data=first,
        base=run.artifacts["base"].facts if "base" in run.artifacts else None,
        numbers=_numbers(metrics),
        cautions=cautions(metrics),
        folds=fold_table(metrics["folds"]),
        over_folds=spread_table(metrics["cross_validation"]),
        confusion=confusion_matrix(matrix, labels, cells),
        most_confused=most_confused(matrix, labels),
        classes=class_table(metrics),
        wrong=metrics["count"] - sum(row[place] for place, row in enumerate(matrix)),
        mistakes=[shown_photo(row, pictures[row["sha256"]]) for row in mistakes],
        uncertain=[shown_photo(row, pictures[row["sha256"]]) for row in uncertain],
        reliability=reliability_figure(metrics["calibration"]),
        precision_curves=curves_figure(curves, "precision_recall", ("recall", "precision")),
        roc_curves=curves_figure(curves, "roc", ("false positive rate", "true positive rate")),
        trained_all=config.train_all,
        stages=stage_table(run.manifest["stages"]),
        command=(environment := json.loads((run.path / "environment.json").read_text(encoding="utf-8")))["command"],
        config_yaml=(run.path / "config.yaml").read_text(encoding="utf-8"),
        environment=json.dumps(environment, indent=2),
    )


def fold_table(folds: Sequence[Mapping[str, Any]]) -> Table:
    """Return the measures of each fold, and the photos that its model was trained and validated on."""
    lines = [
        [
            str(one["fold"]),
            percent(one["top1"]),
            interval(one["top1_interval"]),
            percent(one["balanced_accuracy"]),
            decimals(one["log_loss"]),
            *(f"{one[name]:,}" for name in ("count", "train", "validation", "near_twins")),
        ]
        for one in folds
    ]
    names = ["fold", "top-1", "95% interval", "balanced accuracy", "log loss", "tested", "training", "validation"]
    return Table([*names, "near-twins left out"], lines, texts=())


def spread_table(over: Mapping[str, Any]) -> Table:
    """Return the mean and the standard deviation of the measures over the folds."""
    lines = [
        [title, show(over["mean"][name]), show(over["spread"][name])]
        for name, title in MEASURES.items()
        for show in [decimals if name == "log_loss" else percent]
    ]
    return Table(["measure", "mean over the folds", "standard deviation over the folds"], lines)


def _numbers(metrics: Mapping[str, Any]) -> dict[str, str]:
    """Return the most important metrics by name, with the spread of the first over the folds."""
    first, second, *rest = numbers(metrics).items()
    spread = percent(metrics["cross_validation"]["spread"]["top1"])
    return dict([first, second, ("standard deviation of top-1 over the folds", spread), *rest])


def _kind(data: Row) -> str:
    return "photos" if data["origin"] == "photos" else "drawn flowers"


def _pictures(rows: Rows, run: RunRecord) -> dict[str, str]:
    """Return thumbnails by sha256, each from the test photos of its fold."""
    found: dict[str, str] = {}
    for fold in sorted({row["fold"] for row in rows}):
        wanted = {row["sha256"] for row in rows if row["fold"] == fold}
        found |= thumbnails(run.artifacts[f"ingest {fold_name(fold)}"].path, "test", wanted)
    return found
