"""Export: the trained model as others can use it, kept only if it names the photos as it did in evaluation."""

from __future__ import annotations

from pathlib import Path

from slimline.pipeline.artifact import Artifact, Facts
from slimline.pipeline.stage import stage
from slimline.stages.exporting.config import ExportConfig


@stage(by_key=("evaluate",))  # it copies the SavedModel that evaluation ran, which no digest covers
def export(config: ExportConfig, out: Path, *, ingest: Artifact, train: Artifact, evaluate: Artifact) -> Facts:
    """Write each of `formats`, `model.json`, `labels.txt`, and what was measured: see `read_formats`.

    The SavedModel is the one that was evaluated, byte for byte. Every other format is loaded back by its own runtime
    and names all evaluated photos, from the images that are prepared for it. `model_card.json` holds the facts of the
    model card, whose text the `report` stage writes.

    Raises:
        UserError: a format differs from the evaluated model on more photos than it may, or can't be written.
    """
    from slimline.stages.exporting.export import export_model

    return export_model(config, out, ingest, train, evaluate)
