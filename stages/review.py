"""Review: list candidates for wrong labels from the features."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from omegaconf import II

from slimline.pipeline.artifact import Artifact, Facts
from slimline.pipeline.config import require_range
from slimline.pipeline.stage import stage


@dataclass
class ReviewConfig:
    """Settings of the cross-validation: `folds` parts, at most `block_photos` photos at a time to limit memory."""

    folds: int = 5
    block_photos: int = 20_000
    seed: int = II("run.seed")

    def __post_init__(self) -> None:
        require_range("review.folds", self.folds, 2, 100)
        require_range("review.block_photos", self.block_photos, 100, 10_000_000)


@stage(shown=("candidates", "planted_found", "planted", "cross_validated_top1"))
def review(config: ReviewConfig, out: Path, *, ingest: Artifact, features: Artifact) -> Facts:
    """Write `label_errors.parquet`, one row per photo whose label is a candidate for a label error.

    The rows, most likely first, hold: path, label, `named` (the class that a model trained on the other photos
    predicts), the probabilities of both, split, sha256, `margin` (the difference of the probabilities, which decides
    the order). `planted_errors.parquet` is the result of a test with labels that were made wrong: path, label, the
    wrong label `planted`, `rank` (the place among the test's candidates, or null if it was missed), sha256.
    `pictures.arrow` holds small pictures of the first 48 candidates, for the dataset page.
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
