"""Settings of the `ingest` stage: which photos to use, and how to check, split and store them."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from omegaconf import II, MISSING

from slimline.pipeline.config import require_choice, require_range
from slimline.pipeline.errors import UserError
from slimline.pipeline.stage import external, untracked
from slimline.stages.data.sources import table
from slimline.stages.data.sources.kinds import SourceKind
from slimline.stages.data.sources.photo import ClassFolder
from slimline.stages.data.splitting.config import SplitConfig

log = logging.getLogger(__name__)

UNLIMITED = 2**31 - 1


@dataclass
class ColumnsConfig:
    """Names of the columns of a manifest, or of Parquet files with images; `keep` columns are copied to the index."""

    path: str = "path"
    label: str = "label"
    split: str = "split"
    group: str = "group"
    image: str = "image"
    keep: list[str] = field(default_factory=list)


def files_outside(config: IngestConfig) -> Iterator[Path]:
    """Yield the files that a manifest names: the result depends on their content, as on the manifest's."""
    if config.source in table.NAMED_FILES and config.images is not None:
        yield from table.NAMED_FILES[config.source](Path(config.images), config.columns)


@dataclass
class IngestConfig:
    """A source of labeled photos, and how to check, split and store them.

    `images` is a path or an address, and `source` the kind of source there: `auto`, or a name in the table of sources.
    `class_folder` says which folders are the classes if folders hold folders, and neither are named after splits.
    `group_pattern` is a regular expression whose first group, found in a photo's path, is the photo's group. Photos
    larger than `max_pixels`, `max_frames` or `max_file_mb` are left out, and so are training photos whose perceptual
    hash differs from a test photo's in at most `twin_bits` bits. `store_px` scales photos down to that shorter side.
    """

    images: str | None = external(None, more=files_outside)
    source: str = SourceKind.auto.value
    sha256: str | None = untracked(None)
    columns: ColumnsConfig = field(default_factory=ColumnsConfig)
    class_folder: ClassFolder = ClassFolder.auto
    group_pattern: str | None = None
    split: SplitConfig = field(default_factory=SplitConfig)
    shard_mb: int = 128
    min_shards: int = 8
    store_px: int | None = None
    max_pixels: int = 100_000_000
    max_frames: int = 100
    max_file_mb: int = 256
    max_bad_fraction: float = 0.05
    twin_bits: int | None = 6
    threads: int = untracked(0)
    seed: int = II("run.seed")

    def __post_init__(self) -> None:
        require_choice("ingest.source", self.source, [SourceKind.auto, *table.SOURCES])
        require_range("ingest.shard_mb", self.shard_mb, 1, 4096, "MB")
        require_range("ingest.min_shards", self.min_shards, 1, 4096)
        require_range("ingest.max_pixels", self.max_pixels, 1, UNLIMITED, "pixels")
        require_range("ingest.max_frames", self.max_frames, 1, UNLIMITED, "frames")
        require_range("ingest.max_file_mb", self.max_file_mb, 1, 2000, "MB")
        require_range("ingest.max_bad_fraction", self.max_bad_fraction, 0, 1)
        require_range("ingest.threads", self.threads, 0, 1024)
        if self.store_px is not None:
            require_range("ingest.store_px", self.store_px, 32, 8192, "pixels")
        if self.twin_bits is not None:
            require_range("ingest.twin_bits", self.twin_bits, 0, 16, "of 64 bits")
        if self.sha256 is not None and not re.fullmatch("[0-9a-f]{64}", self.sha256):
            raise UserError(
                f"ingest.sha256={self.sha256} is not a valid SHA-256 checksum.",
                "Set it to 64 hexadecimal digits: 0-9 and a-f.",
            )
        if self.group_pattern is not None:
            _require_pattern(self.group_pattern)

    @property
    def is_drawn(self) -> bool:
        """Whether the program draws the photos."""
        return False


def _require_pattern(pattern: str) -> None:
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise UserError(
            f"ingest.group_pattern={pattern} is not a valid regular expression: {error}.", "Correct the pattern."
        ) from error
    if not groups:
        raise UserError(
            f"ingest.group_pattern={pattern} has no group in parentheses.",
            r"Put parentheses around the part that names the group, as in 'patient-(\d+)'.",
        )


@dataclass
class PhotosConfig(IngestConfig):
    """A source whose `images` must be set."""

    images: str | None = external(MISSING, more=files_outside)


@dataclass
class TfdsConfig(IngestConfig):
    """A dataset by its tensorflow-datasets name; `data_dir` is that package's data folder (null: its default)."""

    dataset: str = untracked(MISSING)
    data_dir: str | None = untracked(None)


class Fallback(Enum):
    """What to do if the flower photos are not available: draw flowers, or fail."""

    drawn = "drawn"
    none = "none"


class Origin(Enum):
    """Whether the flowers are photos or drawn; `auto` is settled before anything runs."""

    auto = "auto"
    photos = "photos"
    drawn = "drawn"


@dataclass
class FlowersConfig(IngestConfig):
    """TensorFlow's flower photos or, if they are not available, flowers drawn by the program."""

    fallback: Fallback = Fallback.drawn
    origin: Origin = Origin.auto
    data: str = untracked("data/flower_photos")
    drawn_per_class: int = 300

    def __post_init__(self) -> None:
        super().__post_init__()
        require_range("ingest.drawn_per_class", self.drawn_per_class, 10, 10_000)

    @property
    def is_drawn(self) -> bool:
        """Whether the program draws the photos."""
        return self.origin is Origin.drawn


def chosen_source(config: IngestConfig) -> dict[str, list[str]]:
    """Return the entries of the tables of sources that a settled config uses."""
    drawn, kind = table.DRAWINGS.references, config.source
    return {table.__name__: [drawn["garden"] if config.is_drawn else table.SOURCES.references[kind]]}
