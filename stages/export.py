"""Export: convert the trained model to other formats, kept only if they classify as the evaluated model does."""

from __future__ import annotations

from pathlib import Path

from slimline.pipeline.artifact import Artifact, Facts
from slimline.pipeline.stage import stage
from slimline.stages.exporting.config import ExportConfig


@stage(by_key=("evaluate",))  # it copies the evaluated SavedModel, which the content digest does not cover
def export(config: ExportConfig, out: Path, *, ingest: Artifact, train: Artifact, evaluate: Artifact) -> Facts:
    """Write each of `formats`, `model.json`, `labels.txt`, and the measurements: see `read_formats`.

    The SavedModel is the evaluated one, byte for byte. Every other format is loaded by its own runtime and classifies
    all evaluated photos, from prepared images. `model_card.json` holds the facts of the model card, whose text the
    `report` stage writes.

    Raises:
        UserError: a format classifies more photos differently from the evaluated model than the config allows, or
            cannot be written.
    """
    from slimline.stages.exporting.export import export_model

    return export_model(config, out, ingest, train, evaluate)
