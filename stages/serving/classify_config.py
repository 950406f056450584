"""The configuration of `classify`."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from slimline.pipeline.config import require_range
from slimline.pipeline.errors import UserError


class Kind(Enum):
    """The file formats of results."""

    parquet = "parquet"
    csv = "csv"
    jsonl = "jsonl"


@dataclass
class ClassifyConfig:
    """The photos to classify, the model, and what is printed and written.

    `images` are photos, folders, globs and Parquet files; if empty, one bundled photo. `model` is a run or an exported
    model. A photo whose best score is below `threshold` (by default the model's own) is unknown. The results of the
    first `shown` photos are printed; those of all are written, in each format of `write`. Photos larger than
    `max_pixels`, `max_frames` or `max_file_mb` are left out.
    """

    images: Any = field(default_factory=list)
    model: str | None = None
    top: int = 5
    full_names: bool = False
    threshold: float | None = None
    shown: int = 100
    write: list[Kind] = field(default_factory=lambda: [Kind.parquet, Kind.jsonl])
    batch_size: int = 16
    max_pixels: int = 100_000_000
    max_frames: int = 100
    max_file_mb: int = 256

    def __post_init__(self) -> None:
        require_range("classify.top", self.top, 1, 100_000)
        require_range("classify.shown", self.shown, 0, 10_000_000)
        require_range("classify.batch_size", self.batch_size, 1, 4096)
        require_range("classify.max_pixels", self.max_pixels, 1, 10_000_000_000, "pixels")
        require_range("classify.max_frames", self.max_frames, 1, 1_000_000, "frames")
        require_range("classify.max_file_mb", self.max_file_mb, 1, 2000, "MB")
        if self.threshold is not None:
            require_range("classify.threshold", self.threshold, 0.0, 1.0)
        self.images = [self.images] if isinstance(self.images, str) else self.images
        if not isinstance(self.images, list) or not all(isinstance(path, str) for path in self.images):
            raise UserError(
                f"classify.images={self.images} is not a list of paths.",
                "List photos, folders or globs: 'classify.images=[photo.jpg,folder/]'",
            )
