"""Export: convert the trained model to other formats, kept only if they classify as the evaluated model does."""

from __future__ import annotations

from pathlib import Path

from slimline.pipeline.artifact import Artifact, Facts
from slimline.pipeline.stage import stage
from slimline.stages.exporting.config import ExportConfig
from slimline.stages.exporting.settle import settle_formats


@stage(
    resolve=settle_formats,
    by_key=("evaluate",),  # it copies the evaluated SavedModel, which the content digest does not cover
    shown=("size_mb", "changed", "checked", "latency_seconds"),
)
def export(config: ExportConfig, out: Path, *, ingest: Artifact, train: Artifact, evaluate: Artifact) -> Facts:
    """Write each of `formats`, `model.json`, `labels.txt`, and the measurements: see `read_formats`.

    The SavedModel is the evaluated one, byte for byte. Every other format is loaded by its own runtime and classifies
    all evaluated photos, from prepared images. A format that cannot be written or run, or that classifies more photos
    differently from the evaluated model than the config allows, is left out and named in the fact `failures`.
    `model_card.json` holds the facts of the model card, whose text the `report` stage writes, and
    `training_photos.parquet` lists the photos that trained the model.

    Raises:
        UserError: every format failed.
    """
    from slimline.stages.exporting.export import export_model

    return export_model(config, out, ingest, train, evaluate)
