"""Build a TF-Slim head for the user's own classes on the base, and write the assembled model's initial checkpoint."""

from __future__ import annotations

from pathlib import Path

from slimline.pipeline.artifact import Artifact, Facts
from slimline.pipeline.stage import stage
from slimline.pipeline.table import Derived
from slimline.stages.models.head_config import HeadConfig, chosen_head
from slimline.stages.models.head_table import HEADS


@stage(
    choices=chosen_head,
    schemas=Derived(HEADS, lambda row: row.config),
    shown=("kind", "new_parameters", "restored", "new"),
)
def head(config: HeadConfig, out: Path, *, base: Artifact, ingest: Artifact) -> Facts:
    """Write the assembled model's `model.ckpt`, `card.json` and `restore.json`, which lists each variable once."""
    from slimline.stages.models.head import write_head

    return write_head(config, out, base, ingest)
