"""Shards: the used photos as TFRecord files of about one size, in an order that mixes the classes."""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.artifact import fsync
from pipeline.errors import UserError
from stages.data.checks import in_parallel
from stages.data.formats import sniff
from stages.data.records import FOOTER_BYTES, HEADER_BYTES, Record, serialize, write_shard
from stages.data.selection import Selection
from stages.data.splits import SPLITS, position
from stages.data.survey import Survey
from stages.progress import Advance

MB = 1_000_000
LEAST_PHOTOS = 16
"""A shard of fewer photos than this helps no reader."""


class Shard(NamedTuple):
    """A file to write: its split, its name, and the rows of its photos, in order."""

    split: str
    name: str
    rows: NDArray[np.int64]


class Places(NamedTuple):
    """Where each photo is [photos]: its shard (a number into `names`, or -1), and its record's bytes there."""

    names: list[str]
    shards: NDArray[np.int32]
    offsets: NDArray[np.int64]
    lengths: NDArray[np.int64]


def plan_shards(survey: Survey, selection: Selection, seed: int, shard_mb: int, min_shards: int) -> list[Shard]:
    """Cut each split into shards of at most about `shard_mb`, `min_shards` at least, of like sizes.

    The order within a split is drawn from the seed and each photo's content, so that a reader who goes through it in
    order sees all classes mixed.
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
        for index, part in enumerate(np.split(rows, cuts)):
            shards.append(Shard(split, f"{split}-{index:05d}-of-{count:05d}.tfrecord", part))
    return shards


def write_shards(
    survey: Survey, selection: Selection, shards: list[Shard], out: Path, threads: int, advance: Advance
) -> Places:
    """Write the shards, several at a time; one that is there already was finished by a killed try, and is kept."""
    widths, heights = survey.column("width"), survey.column("height")

    def records(shard: Shard) -> Iterator[bytes]:
        for row in shard.rows:
            try:
                encoded = survey.read(row)
            except (OSError, ValueError) as error:
                raise UserError(
                    f"{survey.path(row)} changed while it was read: {error}.",
                    "Run the same command again; what was finished is kept.",
                ) from error
            label = int(selection.labels[row])
            yield serialize(
                Record(
                    encoded,
                    sniff(encoded[:12]) or "",
                    label,
                    selection.classes[label],
                    int(heights[row]),
                    int(widths[row]),
                    survey.value(row, "path"),
                    survey.sha256_array[row].tobytes().hex(),
                )
            )

    def write(shard: Shard) -> list[int]:
        path = out / shard.name
        if not path.exists():
            temporary = path.with_name(f".{path.name}.tmp")
            write_shard(temporary, records(shard))
            fsync(temporary)
            os.replace(temporary, path)
        return list(record_lengths(path))

    places = Places(
        [shard.name for shard in shards],
        np.full(survey.count, -1, np.int32),
        np.zeros(survey.count, np.int64),
        np.zeros(survey.count, np.int64),
    )
    for number, lengths in enumerate(in_parallel(write, shards, threads)):
        rows = shards[number].rows
        if len(lengths) != len(rows):
            raise UserError(f"{shards[number].name} holds {len(lengths):,} records, not {len(rows):,}.", "Run again.")
        places.shards[rows] = number
        places.lengths[rows] = lengths
        places.offsets[rows] = np.cumsum(lengths) - lengths
        advance(len(rows))
    return places


def record_lengths(path: Path) -> Iterator[int]:
    """Yield how many bytes each record of a TFRecord file takes, with its header and checksums."""
    with path.open("rb") as file:
        while header := file.read(HEADER_BYTES):
            [length] = struct.unpack_from("<Q", header)
            yield HEADER_BYTES + length + FOOTER_BYTES
            file.seek(length + FOOTER_BYTES, os.SEEK_CUR)
