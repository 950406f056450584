"""The report: a page on what a run did and how accurate its model is."""

from __future__ import annotations

import json
from pathlib import Path

from slimline.pipeline.artifact import Artifact, Facts, write_text
from slimline.pipeline.memo import Memo
from slimline.pipeline.stage import RunRecord
from slimline.stages.data.expectation import expectation
from slimline.stages.pages.charts import curves_figure, history_figure, rate_figure, reliability_figure
from slimline.stages.pages.confusion_matrix import confusion_matrix, most_confused
from slimline.stages.pages.model_card import write_model_card
from slimline.stages.pages.render import render
from slimline.stages.pages.report_config import ReportConfig
from slimline.stages.pages.report_content import Report, gather_report
from slimline.stages.pages.report_tables import (
    class_table,
    format_table,
    label_error_table,
    numbers,
    stage_table,
    sweep_table,
)
from slimline.stages.scoring.cautions import cautions, split_name

PAGE = "report.html"
DATA_SHOWN = ("origin", "photos", "train", "validation", "test", "quarantined", "duplicates", "near_twins", "skipped")


def write_report(
    config: ReportConfig,
    out: Path,
    *,
    ingest: Artifact,
    train: Artifact,
    evaluate: Artifact,
    export: Artifact | None,
    run: RunRecord,
    memo: Memo,
) -> Facts:
    """Write `report.html`, which embeds everything that it shows, and `model_card.md`, also next to the export.

    Without an export, because the model is below `evaluate.at_least`, there is no card, and the page says why.

    Returns:
        The facts of the `report` stage.
    """
    content = gather_report(config, ingest=ingest, train=train, evaluate=evaluate, export=export, run=run, memo=memo)
    text = report_page(content)
    write_text(out / PAGE, text)
    if export:
        write_model_card(export.path, out)
    return {"size_mb": len(text.encode()) / 1e6, "headline": f"report    {{path}}/{PAGE}"}


def report_page(report: Report) -> str:
    """Return the page, which loads nothing from other hosts."""
    metrics, data = report.metrics, report.facts["ingest"]
    drawn = data["origin"] != "photos"
    photos = f"{'drawn ' if drawn else ''}{split_name(metrics['split'])} {'flowers' if drawn else 'photos'}"
    matrix = metrics["confusion_matrix"]
    winner_of = report.manifest.get("winner_of")
    return render(
        PAGE,
        title=f"{metrics['top1']:.1%} of {metrics['count']:,} {photos} classified correctly",
        report=report,
        drawn=drawn,
        seconds=sum(row["seconds"] for row in report.manifest["stages"].values()),
        numbers=numbers(metrics),
        cautions=cautions(metrics),
        not_exported=[row["gate"] for row in report.manifest["stages"].values() if "gate" in row],
        confusion=confusion_matrix(matrix, report.labels, report.cells),
        most_confused=most_confused(matrix, report.labels),
        classes=class_table(metrics),
        wrong=metrics["count"] - sum(row[place] for place, row in enumerate(matrix)),
        history={name: history_figure(report.history, name) for name in ("accuracy", "loss")},
        at_the_end={name: report.history[f"validation_{name}"][-1] for name in ("accuracy", "loss")},
        rate_tests=[(test, rate_figure(test.rates, test.losses, test.suggested)) for test in report.rate_tests],
        reliability=reliability_figure(metrics["calibration"]),
        precision_curves=curves_figure(report.curves, "precision_recall", ("recall", "precision")),
        roc_curves=curves_figure(report.curves, "roc", ("false positive rate", "true positive rate")),
        label_errors=label_error_table(report.doubted),
        expected=expectation(report.facts["review"]) if "review" in report.facts else None,
        data={name: data[name] for name in DATA_SHOWN},
        formats=format_table(report.formats),
        sweep=sweep_table(winner_of) if winner_of else None,
        stages=stage_table(report.manifest["stages"]),
        environment=json.dumps(report.environment, indent=2),
    )
