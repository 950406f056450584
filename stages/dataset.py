"""Dataset: write a page that describes a run's dataset."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from slimline.pipeline.artifact import Artifact, Facts
from slimline.pipeline.stage import stage


@dataclass
class DatasetConfig:
    """No settings; `~dataset` leaves the page out."""


@stage(cache=False, follows=("ingest", "review"), shown=("size_mb",))
def dataset(config: DatasetConfig, out: Path, *, ingest: Artifact, review: Artifact | None) -> Facts:
    """Write `dataset.html`: classes, splits, photos that were left out and why, photos that look the same.

    After the `review` stage has run, the page also shows candidates for label errors.
    """
    from slimline.stages.pages.dataset import write_page

    return write_page(out, ingest, review)
