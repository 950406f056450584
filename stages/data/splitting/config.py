"""Settings of the splits."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from slimline.pipeline.config import require_range
from slimline.pipeline.errors import UserError

SPLITS = ("train", "validation", "test")
ALL = "all"


def split_names(split: str) -> tuple[str, ...]:
    """Return the names of the splits: all three for `all`, otherwise one."""
    return SPLITS if split == ALL else (split,)


class SplitBy(Enum):
    """What decides a photo's split; `auto` is `given` if the source states splits, else `hash`."""

    auto = "auto"
    hash = "hash"
    exact = "exact"
    given = "given"
    folds = "folds"


@dataclass
class SplitConfig:
    """How photos are split; `validation` and `test` are percentages of each class, and the rest is for training.

    `by` hash: each photo's content decides, so the percentages are met on average. `exact`: they are met to the photo,
    but added photos may move others. `given`: as the source states; a split that it lacks is taken from its training
    photos. `folds`: fold number `fold` of `folds` is the test split. Another `salt` gives another split. With `test` 0
    all photos train or validate the model.
    """

    by: SplitBy = SplitBy.auto
    validation: float = 10.0
    test: float = 10.0
    salt: str = ""
    fold: int = 0
    folds: int = 5

    def __post_init__(self) -> None:
        require_range("ingest.split.validation", self.validation, 1, 90, "percent")
        if self.test:
            require_range("ingest.split.test", self.test, 1, 90, "percent (or 0: no test photos)")
        require_range("ingest.split.folds", self.folds, 2, 100)
        require_range("ingest.split.fold", self.fold, 0, self.folds - 1)
        test = 100 / self.folds if self.by is SplitBy.folds else self.test
        if self.validation + test > 95:
            raise UserError(
                f"ingest.split leaves {100 - self.validation - test:g} percent to train on.",
                "Lower validation or test: together they may be at most 95 percent.",
            )
