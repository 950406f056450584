"""Crossval: cross-validation. Each photo is tested once, by a model that was trained on the photos of other folds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from slimline.pipeline.artifact import Artifact, Facts
from slimline.pipeline.stage import stage
from slimline.stages.evaluation.crossval_config import CrossvalConfig
from slimline.stages.evaluation.folds import fold_settings


@stage(repeats=fold_settings, shown=("top1", "count", "mean_top1", "spread_top1", "folds"))
def crossval(config: CrossvalConfig, out: Path, *, ingest: Sequence[Artifact], evaluate: Sequence[Artifact]) -> Facts:
    """Write `metrics.json`, `predictions.parquet` and `curves.parquet` of the photos of all folds together.

    They have the form of the stage `evaluate`. In addition, `predictions.parquet` has the column `fold`, and
    `metrics.json` holds `folds`, the measures of each fold, and `cross_validation`: the number of folds, and the mean
    and the standard deviation of the measures over the folds.
    """
    from slimline.stages.evaluation.pooling import pool_folds

    return pool_folds(config, out, ingest, evaluate)
