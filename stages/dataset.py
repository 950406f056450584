"""Dataset: a page that shows the data set of a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from slimline.pipeline.artifact import Artifact, Facts
from slimline.pipeline.stage import stage


@dataclass
class DatasetConfig:
    """There is nothing to set; `dataset=null` leaves the page out."""


@stage(cache=False, follows=("ingest", "review"))
def dataset(config: DatasetConfig, out: Path, *, ingest: Artifact, review: Artifact | None) -> Facts:
    """Write `dataset.html`: what there is, how it is split, what was left out and why, what looks the same.

    Once the labels are reviewed, it also shows those that are likely wrong.
    """
    from slimline.stages.pages.dataset import write_page

    return write_page(out, ingest, review)
