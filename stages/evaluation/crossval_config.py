"""The configuration of `crossval`."""

from __future__ import annotations

from dataclasses import dataclass, field

from omegaconf import II

from slimline.pipeline.config import require_range
from slimline.pipeline.stage import untracked


@dataclass
class CrossvalConfig:
    """What to measure on the photos of all folds; the experiment takes the values from `evaluate`.

    With `train_all` a model is also trained on the photos of all folds and exported; the result of the
    cross-validation is the estimate of its accuracy.
    """

    train_all: bool = untracked(False)
    top: list[int] = field(default_factory=lambda: [5])
    slices: list[str] = field(default_factory=list)
    resamples: int = 1000
    seed: int = II("run.seed")

    def __post_init__(self) -> None:
        for k in self.top:
            require_range("crossval.top", k, 2, 100_000)
        require_range("crossval.resamples", self.resamples, 100, 1_000_000)
