"""Report: one self-contained page that says what was done and how well it went. Always runs last."""

from __future__ import annotations

from pathlib import Path

from slimline.pipeline.artifact import Artifact, Facts
from slimline.pipeline.stage import RunRecord, stage
from slimline.stages.pages.report_config import ReportConfig


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
    from slimline.stages.pages.report import write_report

    return write_report(config, out, ingest=ingest, train=train, evaluate=evaluate, export=export, run=run)
