"""Ingest: labelled photos in, TFRecord shards by split out, every photo checked and accounted for."""

from __future__ import annotations

import hashlib
import logging
import math
import random
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path

from omegaconf import II, MISSING

from pipeline.artifact import Facts, write_text
from pipeline.config import require_path, require_range
from pipeline.errors import Undecided, UserError
from pipeline.stage import external, stage, untracked
from stages.data.checks import Checked, check_photos, in_parallel
from stages.data.sources import Source, check_classes, folder_source, garden_source
from stages.data.splits import SPLITS, SplitConfig, split_photos
from stages.progress import progress

log = logging.getLogger(__name__)

MOST_SHOWN = 3


@dataclass
class IngestConfig:
    """A folder of class folders, and how to split and store it."""

    images: str | None = external(None)
    split: SplitConfig = field(default_factory=SplitConfig)
    shard_mb: int = 128
    max_bad_fraction: float = 0.05
    threads: int = untracked(0)
    seed: int = II("run.seed")

    def __post_init__(self) -> None:
        require_range("ingest.shard_mb", self.shard_mb, 1, 4096, "MB")
        require_range("ingest.max_bad_fraction", self.max_bad_fraction, 0, 1)
        require_range("ingest.threads", self.threads, 0, 1024)


@dataclass
class FolderConfig(IngestConfig):
    """A folder that has to be given."""

    images: str | None = external(MISSING)


class Fallback(Enum):
    """What to do where the flower photos can't be reached: draw flowers, or give up."""

    drawn = "drawn"
    none = "none"


class Origin(Enum):
    """Which flowers: found out before anything runs."""

    auto = "auto"
    photos = "photos"
    drawn = "drawn"


@dataclass
class FlowersConfig(IngestConfig):
    """TensorFlow's flower photos, or where they can't be had, flowers drawn by the program."""

    fallback: Fallback = Fallback.drawn
    origin: Origin = Origin.auto
    data: str = untracked("data/flower_photos")
    drawn_per_class: int = 300

    def __post_init__(self) -> None:
        super().__post_init__()
        require_range("ingest.drawn_per_class", self.drawn_per_class, 10, 10_000)


def settle_source(config: IngestConfig, plan: bool) -> IngestConfig:
    """Find the photos, before any key is made: given, there already, downloaded, or drawn."""
    if isinstance(config, FlowersConfig) and config.images is None and config.origin is not Origin.photos:
        config = _settle_flowers(config, plan)
        if config.origin is Origin.drawn:
            return config
    if config.images is None:
        raise UserError(
            "ingest.images has no value.",
            "Give the folder that holds a folder of photos for each class: ingest.images=path",
        )
    folder = require_path("ingest.images", config.images)
    if not folder.is_dir():
        raise UserError(
            f"ingest.images={config.images} is no folder.",
            "Give the folder that holds a folder of photos for each class.",
        )
    check_classes(folder_source(folder).photos, len(SPLITS), str(folder))
    found = replace(config, images=str(folder))
    return replace(found, origin=Origin.photos) if isinstance(found, FlowersConfig) else found


def _settle_flowers(config: FlowersConfig, plan: bool) -> FlowersConfig:
    """Take `data/flower_photos`, else download it, else draw; the network gets five seconds to answer."""
    from stages.data.download import Unreachable
    from stages.data.flower_photos import SIZE_BYTES, URL, fetch_flower_photos

    folder = Path(config.data).absolute()
    if config.origin is Origin.drawn:
        log.warning("ingest: the flowers are drawn by the program, as ingest.origin=drawn asks; they are no photos")
        return config
    if folder.is_dir():
        return replace(config, images=str(folder))
    if plan:
        otherwise = "else drawn" if config.fallback is Fallback.drawn else "else an error"
        raise Undecided(f"the flower photos ({SIZE_BYTES / 1e6:.0f} MB) would be downloaded, {otherwise}")
    try:
        return replace(config, images=str(fetch_flower_photos(folder)))
    except Unreachable as unreachable:
        if config.fallback is Fallback.none:
            raise UserError(
                f"The flower photos can't be reached: {unreachable}.",
                f"Put {URL} by hand into {folder.parent}, unpacked, or allow drawn flowers: ingest.fallback=drawn",
            ) from unreachable
        log.warning("ingest: the flower photos can't be reached (%s)", unreachable)
        log.warning("ingest: the flowers are drawn by the program instead; they are no photos")
        return replace(config, origin=Origin.drawn)


@stage(resolve=settle_source, schemas={"folder": FolderConfig, "flowers": FlowersConfig})
def ingest(config: IngestConfig, out: Path) -> Facts:
    """Check every photo, split by content, and write TFRecord shards, `index.parquet` and `labels.txt`.

    Raises:
        UserError: too many photos can't be read, or a class is left with too few.
    """
    from stages.tensorflow import tf

    tf.constant(0)  # TensorFlow is up before the clock starts: the rate below is that of photos
    started = time.perf_counter()
    drawn = isinstance(config, FlowersConfig) and config.origin is Origin.drawn
    source = _open(config)
    started_reading = time.perf_counter()
    checked = check_photos(source, config.threads)
    good = [row for row in checked if not row.reason]
    _refuse_too_many(checked, config.max_bad_fraction)
    labels = check_classes((row.photo for row in good), len(SPLITS), "Of what can be read, the source")
    splits = split_photos(((row.sha256, row.photo.label) for row in good), config.split)
    shards = _write_shards(source, good, labels, {sha: name for sha, (name, _) in splits.items()}, config, out)
    _write_index(checked, splits, shards, out / "index.parquet")
    write_text(out / "labels.txt", "".join(f"{label}\n" for label in labels))
    counts = Counter(splits[row.sha256][0] for row in good)
    kind = "DRAWN by the program, not photos" if drawn else "photos"
    bad = len(checked) - len(good)
    return {
        "origin": "drawn flowers" if drawn else "photos",
        "photos": len(good),
        "classes": len(labels),
        **{split: counts[split] for split in SPLITS},
        "quarantined": bad,
        "photos_per_second": len(checked) / (time.perf_counter() - started_reading),
        "drawing_seconds": started_reading - started,
        "headline": f"data      {len(good):,} {kind}, {len(labels)} classes"
        + (f"; {bad:,} left out, see {{path}}/index.parquet" if bad else ""),
    }


def _open(config: IngestConfig) -> Source:
    if isinstance(config, FlowersConfig) and config.origin is Origin.drawn:
        return garden_source(config.drawn_per_class, config.seed)
    return folder_source(Path(config.images or ""))


def _refuse_too_many(checked: list[Checked], most: float) -> None:
    bad = [row for row in checked if row.reason]
    if len(bad) > most * len(checked):
        examples = "; ".join(f"{row.photo.path}: {row.reason}" for row in bad[:MOST_SHOWN])
        fraction = math.ceil(100 * len(bad) / len(checked)) / 100
        raise UserError(
            f"{len(bad):,} of {len(checked):,} photos can't be used: ingest.max_bad_fraction={most:g} allows less.",
            f"For example: {examples}",
            f"Mend or remove them, or allow more: ingest.max_bad_fraction={fraction:g}",
        )


def _write_shards(
    source: Source,
    good: list[Checked],
    labels: list[str],
    split_of: dict[str, str],
    config: IngestConfig,
    out: Path,
) -> dict[str, str]:
    """Write each split's shards, photos in one seeded order so that classes mix; return each path's shard."""
    from stages.data.records import Record, serialize, write_shard

    numbers = {label: number for number, label in enumerate(labels)}
    shards: dict[str, str] = {}

    def example(row: Checked) -> bytes:
        encoded = source.read(row.photo.path)
        if hashlib.sha256(encoded).hexdigest() != row.sha256:
            raise UserError(
                f"{row.photo.path} changed while it was read.",
                "Nothing was kept. Run the same command again.",
            )
        label = row.photo.label
        return serialize(Record(encoded, numbers[label], label, row.height, row.width, row.photo.path, row.sha256))

    with progress("writing records", len(good), "photos") as advance:
        for split in SPLITS:
            rows = [row for row in good if split_of[row.sha256] == split]
            random.Random(f"{config.seed} {split}").shuffle(rows)
            count = max(
                min(2, len(rows)),
                math.ceil(sum(row.size_bytes for row in rows) / (config.shard_mb * 1_000_000)),
            )
            for number in range(count):
                part = rows[len(rows) * number // count : len(rows) * (number + 1) // count]
                name = f"{split}-{number:05d}-of-{count:05d}.tfrecord"
                write_shard(out / name, in_parallel(example, part, config.threads))
                shards.update((row.photo.path, name) for row in part)
                advance(len(part))
    return shards


def _write_index(
    checked: list[Checked], splits: dict[str, tuple[str, bool]], shards: dict[str, str], path: Path
) -> None:
    """Write one row a photo: where it went, or why it was left out."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [
        {
            "path": row.photo.path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"),
            "label": row.photo.label,
            "split": splits[row.sha256][0] if not row.reason else None,
            "provisional": splits[row.sha256][1] if not row.reason else None,
            "sha256": row.sha256,
            "width": row.width,
            "height": row.height,
            "size_bytes": row.size_bytes,
            "shard": shards.get(row.photo.path),
            "quarantined": row.reason or None,
        }
        for row in checked
    ]
    text, number = pa.string(), pa.int64()
    types = {"provisional": pa.bool_(), "width": number, "height": number, "size_bytes": number}
    schema = pa.schema([(name, types.get(name, text)) for name in rows[0]])
    pq.write_table(pa.Table.from_pylist(rows, schema), path)
