"""Crossval report: write one self-contained page on a cross-validation, and the card of the model for use."""

from __future__ import annotations

from pathlib import Path

from slimline.pipeline.artifact import Artifact, Facts
from slimline.pipeline.stage import RunRecord, stage
from slimline.stages.pages.crossval_report_config import CrossvalReportConfig


@stage(cache=False, optional={"export": lambda config: config.train_all}, shown=("size_mb",))
def crossval_report(
    config: CrossvalReportConfig, out: Path, *, crossval: Artifact, export: Artifact | None, run: RunRecord
) -> Facts:
    """Write `crossval.html`, which embeds everything that it shows.

    If a model was trained on the photos of all folds, its `model_card.md` gives the result as the estimate of its
    accuracy, which it has not been tested for.
    """
    from slimline.stages.pages.crossval import write_crossval

    return write_crossval(config, out, crossval=crossval, export=export, run=run)
