"""Arrays by photo, in memory-mapped Arrow files: what was computed for a photo once is read from then on."""

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
"""How Arrow holds each dtype: it has no bfloat16."""

PART_BYTES, PART_SECONDS = 1 << 28, 60.0
"""When a part is closed, so that a crash costs no more than that."""

ABANDONED_SECONDS = 24 * 3600
"""How old an unfinished part is that no writer can still be at work on."""


class Add(Protocol):
    """Call with photos' keys and values [count, *shape]."""

    def __call__(self, keys: Sequence[str], values: NDArray[Any]) -> None: ...


class PhotoCache:
    """Arrays of one shape and dtype by photo key, in the Arrow files of one folder, memory-mapped.

    A key is the sha256 of the encoded bytes that the network sees, in hex, and if need be the number of a view.
    A file is a part: hidden until it is complete and on the disk, and never changed then. Each process that writes
    makes parts of its own, and sees those of others once it opens the folder anew. A part that can't be read, or is
    of another shape or dtype, counts as absent: what it held is computed again.
    """

    def __init__(self, folder: Path, shape: tuple[int, ...], dtype: str) -> None:
        """Open what a folder holds of arrays of `shape`, each kept as `dtype`: float32, float16 or bfloat16.

        Raises:
            ValueError: no arrays can be of that shape or dtype.
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
        """How much the arrays take on the disk."""
        return sum(block.nbytes for block in self._blocks)

    def read(self, keys: Sequence[str]) -> NDArray[Any]:
        """Read the arrays of some keys, in their order: [count, *shape]; bfloat16 becomes float32.

        Raises:
            KeyError: a key isn't there.
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
        """Hand out `add(keys, values)`; what it takes can be read once its part is full, or the block ends.

        An error inside the block loses nothing that was added; a killed process loses its last part, of at most
        `PART_SECONDS`. Values are rounded to the cache's dtype. A key that is there already is kept twice, to no harm.

        Raises:
            ValueError: by `add`, where the values aren't one array of the cache's shape for each key.
            FloatingPointError: by `add`, where a number is too large for float16.
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
            raise ValueError(f"{len(keys)} keys and values {values.shape}: a key for each {self.shape} is allowed.")
        if self.dtype == "bfloat16":
            stored = values.astype(ml_dtypes.bfloat16, order="C", copy=False).view(np.uint16)
        else:
            with np.errstate(over="raise"):
                stored = values.astype(self.dtype, order="C", copy=False)
        column = pa.FixedSizeListArray.from_arrays(pa.array(stored.reshape(-1)), self._size)
        return pa.record_batch([pa.array(keys, pa.string()), column], schema=self._schema)

    def _open(self, path: Path) -> None:
        """Map a part into memory and note which rows it holds."""
        try:
            keys, blocks = _read_part(path, self._schema)
        except (OSError, ValueError, pa.ArrowException) as error:
            log.warning("%s is left out, and what it held is computed again; delete it. (%s)", path, error)
            return
        ends = self._count + np.cumsum([0, *map(len, blocks)])
        self._blocks += blocks
        self._starts = np.concatenate([self._starts, ends[:-1]])
        self._rows.update(zip(keys, range(self._count, int(ends[-1])), strict=True))
        self._count = int(ends[-1])

    def _remove_abandoned(self) -> None:
        """Remove what killed writers left."""
        for path in self._folder.glob(".part-*.tmp"):
            with suppress(FileNotFoundError):  # its writer may complete it meanwhile
                if time.time() - path.stat().st_mtime > ABANDONED_SECONDS:
                    path.unlink()


def _read_part(path: Path, schema: Any) -> tuple[list[str], list[NDArray[Any]]]:
    """Return a part's keys, and its values [count, size] batch by batch: these stay on the disk."""
    with pa.memory_map(str(path)) as file:  # what is read keeps the map, without its file descriptor
        reader = pa.ipc.open_file(file)
        if not reader.schema.equals(schema, check_metadata=True):
            raise ValueError(f"It holds {reader.schema.metadata}, not {schema.metadata}.")
        batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]
    keys: list[str] = []
    blocks = []
    for batch in batches:
        batch.validate(full=True)  # of the keys; it doesn't look at the values
        values = batch.column("values")
        keys += batch.column("key").to_pylist()
        blocks.append(values.flatten().to_numpy(zero_copy_only=True).reshape(len(batch), values.type.list_size))
    return keys, blocks


class _Part:
    """A part under way."""

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
        """Complete the part, put it on the disk and show it under its name."""
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
        """Leave nothing of the part."""
        self._file.close()
        self._temporary.unlink(missing_ok=True)
