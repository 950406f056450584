"""A cache of arrays by photo, in memory-mapped Arrow files: each photo's array is computed only once."""

from __future__ import annotations

import logging
import math
import os
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import ml_dtypes
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from slimline.pipeline.artifact import fsync

log = logging.getLogger(__name__)

STORED = {"float32": pa.float32(), "float16": pa.float16(), "bfloat16": pa.uint16()}
"""The Arrow type that stores each dtype; Arrow has no bfloat16."""

PART_BYTES, PART_SECONDS = 1 << 28, 60.0
"""Size and age at which a part is closed, so that a crash loses no more than that."""

ABANDONED_SECONDS = 24 * 3600
"""Age from which an unfinished part can't have an active writer."""


class Add(Protocol):
    """A function of photos' keys and values [count, *shape]."""

    def __call__(self, keys: Sequence[str], values: NDArray[Any]) -> None: ...


class PhotoCache:
    """Arrays of one shape and dtype by photo key, in the memory-mapped Arrow files of one folder.

    A key is the sha256 (hex) of the encoded bytes that the network gets, with the number of a view if there are views.
    Each file is a part. It is hidden until it is complete and on the disk, and never changes afterwards. Each process
    that writes makes its own parts, and sees those of others after it opens the folder again. A part that can't be
    read, or has another shape or dtype, counts as absent: its arrays are computed again.
    """

    def __init__(self, folder: Path, shape: tuple[int, ...], dtype: str) -> None:
        """Open the arrays of `shape` in a folder, stored as `dtype`: float32, float16 or bfloat16.

        Raises:
            ValueError: the shape or the dtype is not allowed.
        """
        if dtype not in STORED or not all(side > 0 for side in shape):
            raise ValueError(f"shape={shape}, dtype={dtype!r}: sides from 1 up and {', '.join(STORED)} are allowed.")
        self.shape = shape
        self.dtype = dtype
        self._folder = folder
        self._size = math.prod(shape)
        about = {"shape": "x".join(map(str, shape)), "dtype": dtype}
        fields = [("key", pa.string()), ("values", pa.list_(STORED[dtype], self._size))]
        self._schema = pa.schema(fields, metadata=about)
        self._blocks: list[NDArray[Any]] = []
        self._starts = np.empty(0, np.int64)
        self._count = 0
        self._rows: dict[str, int] = {}  # numbered through all blocks: an int each, for millions of keys
        for path in sorted(folder.glob("part-*.arrow")):
            self._open(path)

    def __contains__(self, key: str) -> bool:
        return key in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def size_bytes(self) -> int:
        """The size of the arrays on the disk."""
        return sum(block.nbytes for block in self._blocks)

    def read(self, keys: Sequence[str]) -> NDArray[Any]:
        """Read the arrays of some keys, in the order of the keys: [count, *shape]; bfloat16 becomes float32.

        Raises:
            KeyError: a key is not in the cache.
        """
        rows = np.fromiter(map(self._rows.__getitem__, keys), np.int64, len(keys))
        blocks = np.searchsorted(self._starts, rows, side="right") - 1
        wide = self.dtype == "bfloat16"
        found = np.empty((len(keys), self._size), np.uint32 if wide else self.dtype)
        places = zip(blocks.tolist(), (rows - self._starts[blocks]).tolist(), strict=True)
        for at, (block, row) in enumerate(places):
            found[at] = self._blocks[block][row]
        if wide:  # a bfloat16 is the upper half of a float32
            found <<= 16
            found = found.view(np.float32)
        return found.reshape(len(keys), *self.shape)

    @contextmanager
    def writing(self) -> Iterator[Add]:
        """Yield a function `add(keys, values)`; added arrays can be read once their part is full, or the block ends.

        An error inside the block loses nothing that was added; a killed process loses its last part, of at most
        `PART_SECONDS`. Values are rounded to the cache's dtype. Adding a key again stores it twice, which is harmless.

        Raises:
            ValueError: by `add`, if the values aren't one array of the cache's shape for each key.
            FloatingPointError: by `add`, if a number is too large for float16.
        """
        self._remove_abandoned()
        part: _Part | None = None

        def add(keys: Sequence[str], values: NDArray[Any]) -> None:
            nonlocal part
            batch = self._batch(keys, values)
            if not len(batch):
                return
            part = part or _Part(self._folder, self._schema)
            try:
                part.write(batch)
            except BaseException:
                part.drop()
                part = None
                raise
            if part.full:
                full, part = part, None
                self._open(full.close())

        try:
            yield add
        finally:
            if part:
                self._open(part.close())

    def _batch(self, keys: Sequence[str], values: NDArray[Any]) -> Any:
        if values.shape != (len(keys), *self.shape):
            raise ValueError(f"{len(keys)} keys, values {values.shape}: one array {self.shape} per key is allowed.")
        if self.dtype == "bfloat16":
            stored = values.astype(ml_dtypes.bfloat16, order="C", copy=False).view(np.uint16)
        else:
            with np.errstate(over="raise"):
                stored = values.astype(self.dtype, order="C", copy=False)
        column = pa.FixedSizeListArray.from_arrays(pa.array(stored.reshape(-1)), self._size)
        return pa.record_batch([pa.array(keys, pa.string()), column], schema=self._schema)

    def _open(self, path: Path) -> None:
        """Map a part into memory and record its rows."""
        try:
            keys, blocks = _read_part(path, self._schema)
        except (OSError, ValueError, pa.ArrowException) as error:
            log.warning("%s can't be used, so its arrays are computed again; delete the file. (%s)", path, error)
            return
        ends = self._count + np.cumsum([0, *map(len, blocks)])
        self._blocks += blocks
        self._starts = np.concatenate([self._starts, ends[:-1]])
        self._rows.update(zip(keys, range(self._count, int(ends[-1])), strict=True))
        self._count = int(ends[-1])

    def _remove_abandoned(self) -> None:
        """Remove unfinished parts of killed writers."""
        for path in self._folder.glob(".part-*.tmp"):
            with suppress(FileNotFoundError):  # its writer may complete it meanwhile
                if time.time() - path.stat().st_mtime > ABANDONED_SECONDS:
                    path.unlink()


def _read_part(path: Path, schema: Any) -> tuple[list[str], list[NDArray[Any]]]:
    """Return a part's keys, and its values [count, size] per batch; the values stay on the disk."""
    with pa.memory_map(str(path)) as file:  # the arrays keep the map open, without its file descriptor
        reader = pa.ipc.open_file(file)
        if not reader.schema.equals(schema, check_metadata=True):
            raise ValueError(f"It holds {reader.schema.metadata}, not {schema.metadata}.")
        batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]
    keys: list[str] = []
    blocks = []
    for batch in batches:
        batch.validate(full=True)  # checks the keys, not the values
        values = batch.column("values")
        keys += batch.column("key").to_pylist()
        blocks.append(values.flatten().to_numpy(zero_copy_only=True).reshape(len(batch), values.type.list_size))
    return keys, blocks


class _Part:
    """A part that is being written."""

    def __init__(self, folder: Path, schema: Any) -> None:
        self._path = folder / f"part-{uuid.uuid4().hex}.arrow"
        self._temporary = self._path.with_name(f".{self._path.name}.tmp")
        self._file = pa.OSFile(str(self._temporary), "wb")
        self._writer = pa.ipc.new_file(self._file, schema)
        self._started = time.monotonic()

    @property
    def full(self) -> bool:
        return self._file.tell() >= PART_BYTES or time.monotonic() - self._started >= PART_SECONDS

    def write(self, batch: Any) -> None:
        self._writer.write_batch(batch)

    def close(self) -> Path:
        """Complete the part, put it on the disk and give it its final name."""
        try:
            self._writer.close()
            self._file.close()
            fsync(self._temporary)
            os.rename(self._temporary, self._path)
        except BaseException:
            self.drop()
            raise
        fsync(self._path.parent)
        return self._path

    def drop(self) -> None:
        """Remove the unfinished part."""
        self._file.close()
        self._temporary.unlink(missing_ok=True)
