"""Report: write one self-contained page on what the run did and how accurate the model is. Always runs last."""

from __future__ import annotations

from pathlib import Path

from slimline.pipeline.artifact import Artifact, Facts
from slimline.pipeline.memo import Memo
from slimline.pipeline.stage import RunRecord, stage
from slimline.stages.pages.report_config import ReportConfig


@stage(cache=False, optional={"export": lambda config: True}, shown=("size_mb",))
def report(
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
    """Write `report.html`, which embeds everything that it shows.

    If nothing is exported because the model is below `evaluate.at_least`, the page says so.
    """
    from slimline.stages.pages.report import write_report

    return write_report(config, out, ingest=ingest, train=train, evaluate=evaluate, export=export, run=run, memo=memo)
