"""Shards: the used photos as TFRecord files of similar sizes, in an order that mixes the classes."""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slimline.pipeline.artifact import fsync
from slimline.pipeline.errors import UserError
from slimline.pipeline.progress import Advance
from slimline.stages.data.checking.survey import Survey
from slimline.stages.data.splitting.config import SPLITS
from slimline.stages.data.splitting.selection import Selection
from slimline.stages.data.splitting.splits import position
from slimline.stages.data.storing.records import FOOTER_BYTES, HEADER_BYTES, Record, serialize, write_shard
from slimline.stages.images.files import sniff
from slimline.stages.images.parallel import in_parallel

MB = 1_000_000
LEAST_PHOTOS = 16
"""Shards with fewer photos than this don't make reading faster."""


class Shard(NamedTuple):
    """A file to write: its split, its name, and the rows of its photos, in order."""

    split: str
    name: str
    rows: NDArray[np.int64]


class Places(NamedTuple):
    """The place of each photo [photos]: its shard (an index into `names`, or -1), and its record's byte range."""

    names: list[str]
    shards: NDArray[np.int32]
    offsets: NDArray[np.int64]
    lengths: NDArray[np.int64]


def plan_shards(survey: Survey, selection: Selection, seed: int, shard_mb: int, min_shards: int) -> list[Shard]:
    """Divide each split into shards of similar sizes, of at most about `shard_mb`, and at least `min_shards` of them.

    The order within a split is drawn from the seed and each photo's content, so reading in this order mixes the
    classes.
    """
    salt = f"order {seed}"
    keys = np.fromiter((position(one.tobytes().hex(), salt) for one in survey.sha256_array), np.float64, survey.count)
    sizes = survey.column("size")
    shards = []
    for number, split in enumerate(SPLITS):
        rows = selection.used(number)
        rows = rows[np.argsort(keys[rows], kind="stable")]
        ends = np.cumsum(sizes[rows])
        total = int(ends[-1]) if len(rows) else 0
        count = max(math.ceil(total / (shard_mb * MB)), min(min_shards, math.ceil(len(rows) / LEAST_PHOTOS)))
        cuts = np.searchsorted(ends, total * np.arange(1, count) / count, side="right")
        parts = [part for part in np.split(rows, cuts) if len(part)]  # a photo may be larger than `shard_mb`
        for index, part in enumerate(parts):
            shards.append(Shard(split, f"{split}-{index:05d}-of-{len(parts):05d}.tfrecord", part))
    return shards


def write_shards(
    survey: Survey, selection: Selection, shards: list[Shard], out: Path, threads: int, advance: Advance
) -> Places:
    """Write the shards, several at a time; shards that an interrupted run finished are kept.

    A shard gets its name only after it is on the disk, and a separate thread waits for that.
    """
    places = Places(
        [shard.name for shard in shards],
        np.full(survey.count, -1, np.int32),
        np.zeros(survey.count, np.int64),
        np.zeros(survey.count, np.int64),
    )
    with ThreadPoolExecutor(1) as disk:

        def write(shard: Shard) -> tuple[list[int], Future[None] | None]:
            path = out / shard.name
            if path.exists():
                return list(record_lengths(path)), None
            temporary = path.with_name(f".{path.name}.tmp")
            write_shard(temporary, _records(survey, selection, shard.rows))
            return list(record_lengths(temporary)), disk.submit(_finish, temporary, path)

        waiting = []
        for number, (lengths, finished) in enumerate(in_parallel(write, shards, threads)):
            rows = shards[number].rows
            if len(lengths) != len(rows):
                name = shards[number].name
                raise UserError(f"{name} holds {len(lengths):,} records, not {len(rows):,}.", "Run again.")
            places.shards[rows] = number
            places.lengths[rows] = lengths
            places.offsets[rows] = np.cumsum(lengths) - lengths
            waiting.append(finished)
            advance(len(rows))
        for finished in waiting:
            if finished is not None:
                finished.result()
    return places


def _finish(temporary: Path, path: Path) -> None:
    fsync(temporary)
    os.replace(temporary, path)


def _records(survey: Survey, selection: Selection, rows: NDArray[np.int64]) -> Iterator[bytes]:
    """Yield photos as records; a file that changed since it was checked is noticed by its time, after all is done."""
    names = ("path", "file", "offset", "size", "height", "width", "sha256")
    for row, values in zip(rows, survey.take(rows, *names), strict=True):
        path, file, offset, size, height, width, sha256 = values
        try:
            encoded = survey.read_at(path, file, offset, size)
        except (OSError, ValueError) as error:
            raise UserError(
                f"{survey.path(row)} changed while it was read: {error}.",
                "Do not change the photos while they are read, and run the same command again.",
            ) from error
        label = int(selection.labels[row])
        text = selection.classes[label]
        yield serialize(Record(encoded, sniff(encoded[:12]) or "", label, text, height, width, path, sha256.hex()))


def record_lengths(path: Path) -> Iterator[int]:
    """Yield the size in bytes of each record of a TFRecord file, header and checksums included."""
    with path.open("rb") as file:
        while header := file.read(HEADER_BYTES):
            [length] = struct.unpack_from("<Q", header)
            yield HEADER_BYTES + length + FOOTER_BYTES
            file.seek(length + FOOTER_BYTES, os.SEEK_CUR)
