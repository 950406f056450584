"""Review: the labels that the features contradict."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from omegaconf import II

from slimline.pipeline.artifact import Artifact, Facts
from slimline.pipeline.config import require_range
from slimline.pipeline.stage import stage


@dataclass
class ReviewConfig:
    """How to cross-validate: in `folds` parts, `block_photos` at a time, so that memory is bounded."""

    folds: int = 5
    block_photos: int = 20_000
    seed: int = II("run.seed")

    def __post_init__(self) -> None:
        require_range("review.folds", self.folds, 2, 100)
        require_range("review.block_photos", self.block_photos, 100, 10_000_000)


@stage()
def review(config: ReviewConfig, out: Path, *, ingest: Artifact, features: Artifact) -> Facts:
    """Write `label_errors.parquet`, a row for each photo whose label is likely wrong, and `pictures.arrow`.

    The rows, the surest first: path, label, `named` (what the other photos say that it shows), the probabilities of
    both, split, sha256. Of the first 48 there are small pictures, for the data set's page.
    """
    from slimline.stages.data.reviewing import review_labels

    return review_labels(
        ingest.path,
        features.path,
        out,
        folds=config.folds,
        block_photos=config.block_photos,
        seed=config.seed,
    )
