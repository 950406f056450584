"""Which photos train, which validate and which test: decided by each photo's own content."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.config import require_range
from pipeline.errors import UserError

SPLITS = ("train", "validation", "test")


@dataclass
class SplitConfig:
    """Percent of each class's photos, in expectation; what is left trains. Another `salt` gives another split."""

    validation: float = 10.0
    test: float = 10.0
    salt: str = ""

    def __post_init__(self) -> None:
        require_range("ingest.split.validation", self.validation, 1, 90, "percent")
        require_range("ingest.split.test", self.test, 1, 90, "percent")
        if self.validation + self.test > 95:
            raise UserError(
                f"ingest.split leaves {100 - self.validation - self.test:g} percent to train on.",
                "validation and test together may take 95 percent at most.",
            )


def position(sha256: str, salt: str) -> float:
    """Return a photo's place in [0, 1), a function of its content and the salt alone."""
    return int(hashlib.sha256(f"{salt}:{sha256}".encode()).hexdigest()[:13], 16) / 16**13


def split_photos(photos: Iterable[tuple[str, str]], config: SplitConfig) -> dict[str, tuple[str, bool]]:
    """Split photos given as (sha256, class): each sha256's (split, provisional).

    A photo's place decides, so adding, renaming and moving photos moves none. A split that is left
    without a class takes that class's lowest-placed photo that another split can spare, marked
    provisional: only these may move when photos come.
    """
    by_class: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for sha256, label in dict(photos).items():
        by_class[label].append((position(sha256, config.salt), sha256))
    decided: dict[str, tuple[str, bool]] = {}
    for members in by_class.values():
        members.sort()
        own = {sha256: (_split_at(place, config), False) for place, sha256 in members}
        for missing in (split for split in SPLITS if split not in {split for split, _ in own.values()}):
            counts = {split: sum(own[sha256][0] == split for _, sha256 in members) for split in SPLITS}
            spare = next((sha256 for _, sha256 in members if counts[own[sha256][0]] > 1), None)
            if spare:
                own[spare] = (missing, True)
        decided.update(own)
    return decided


def _split_at(place: float, config: SplitConfig) -> str:
    if place < config.test / 100:
        return "test"
    return "validation" if place < (config.test + config.validation) / 100 else "train"
