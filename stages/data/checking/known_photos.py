"""Known photos: results of earlier checks by sha256, of photos that can be used unchanged."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from slimline.pipeline.artifact import fsync

log = logging.getLogger(__name__)

PART_ROWS = 1 << 20
"""Largest number of photos in a part: 50 MB of rows, which are sorted in memory."""

SCHEMA = pa.schema(
    [
        ("start", pa.uint64()),
        ("sha256", pa.binary(32)),
        ("format", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("phash", pa.uint64()),
        ("note", pa.string()),
    ]
)
"""`start` is the first eight bytes of the sha256 as a number; a part is sorted by it."""


class Known(NamedTuple):
    """Result of a check: the format, the upright size in pixels, the perceptual hash and the note, or None."""

    format: str
    width: int
    height: int
    phash: int | None
    note: str | None = None


Find = Callable[[bytes], Known | None]
"""Function of a photo's sha256 that returns what is known about the photo, or None."""


class KnownPhotos:
    """Photos by sha256 in the memory-mapped Arrow files of one folder: millions of photos take no memory.

    Each file is a part. It is hidden until it is complete and on the disk, and never changes afterwards. A part that
    can't be read counts as absent: its photos are checked again.
    """

    def __init__(self, folder: Path) -> None:
        """Open the parts in a folder."""
        self._folder = folder
        self._parts: list[tuple[NDArray[np.uint64], pa.RecordBatch]] = []
        for path in sorted(folder.glob("photos-*.arrow")):
            try:
                self._parts.append(_read_part(path))
            except (OSError, ValueError, pa.ArrowException) as error:
                log.warning("%s can't be read, so its photos are checked again; delete the file. (%s)", path, error)

    def find(self, sha256: bytes) -> Known | None:
        """Return what is known about the photo with this sha256, or None."""
        start = np.uint64(_start(sha256))
        for starts, batch in self._parts:
            row = int(np.searchsorted(starts, start))
            while row < len(starts) and starts[row] == start:
                if batch.column("sha256")[row].as_py() == sha256:
                    return Known(*(batch.column(name)[row].as_py() for name in Known._fields))
                row += 1
        return None

    def remember(self, batches: Iterable[pa.RecordBatch]) -> int:
        """Store the results for photos of a survey that are not known yet; return their number.

        Photos that can't be used, or that were re-encoded, are not stored: they are checked each time.
        """
        new: list[pa.Table] = []
        count = 0
        for batch in batches:
            rows = [row for row, sha256 in _usable(batch) if self.find(sha256) is None]
            new.append(pa.Table.from_batches([batch]).take(pa.array(rows, pa.int64())))
            count += len(rows)
            if sum(map(len, new)) >= PART_ROWS:
                self._write(new)
                new = []
        if any(map(len, new)):
            self._write(new)
        return count

    def _write(self, tables: list[pa.Table]) -> None:
        table = pa.concat_tables(tables).select(SCHEMA.names[1:])
        starts = np.array([_start(one) for one in table.column("sha256").to_pylist()], np.uint64)
        order = np.argsort(starts, kind="stable")
        sorted_rows = table.take(pa.array(order)).combine_chunks()
        columns = [pa.array(starts[order]), *(column.combine_chunks() for column in sorted_rows.columns)]
        path = self._folder / f"photos-{uuid.uuid4().hex}.arrow"
        temporary = path.with_name(f".{path.name}.tmp")
        try:
            with pa.OSFile(str(temporary), "wb") as file, pa.ipc.new_file(file, SCHEMA) as writer:
                writer.write_batch(pa.record_batch(columns, schema=SCHEMA))
            fsync(temporary)
            os.rename(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def _start(sha256: bytes) -> int:
    return int.from_bytes(sha256[:8], "big")


def _usable(batch: pa.RecordBatch) -> Iterable[tuple[int, bytes]]:
    """Yield the row and the sha256 of each photo that can be used unchanged."""
    columns = (batch.column(name).to_pylist() for name in ("sha256", "reason", "skipped", "reencoded"))
    for row, (sha256, reason, skipped, reencoded) in enumerate(zip(*columns, strict=True)):
        if sha256 is not None and reason is None and not (skipped or reencoded):
            yield row, sha256


def _read_part(path: Path) -> tuple[NDArray[np.uint64], Any]:
    with pa.memory_map(str(path)) as file:  # the arrays keep the map open, without its file descriptor
        reader = pa.ipc.open_file(file)
        if not reader.schema.equals(SCHEMA):
            raise ValueError(f"Its columns are {reader.schema.names}.")
        batch = reader.get_batch(0)
    batch.validate(full=True)
    return batch.column("start").to_numpy(zero_copy_only=True), batch
