"""The survey: results of checking each photo of a source once, in rows that are stored on disk as they come."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, lru_cache
from itertools import count, islice, pairwise, takewhile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from slimline.pipeline.artifact import fsync
from slimline.pipeline.progress import Advance
from slimline.stages.data.checking.checks import Checked, Limits, check_photos
from slimline.stages.data.checking.known_photos import Find
from slimline.stages.data.sources.photo import WHOLE, Photo, read_bytes
from slimline.stages.images.parallel import in_parallel

CHUNK = 1024
TAKEN = 4096
GROUP = 16

SCHEMA = pa.schema(
    [
        ("path", pa.binary()),
        ("label", pa.string()),
        ("file", pa.binary()),
        ("offset", pa.int64()),
        ("size", pa.int64()),
        ("stated_split", pa.string()),
        ("group", pa.string()),
        ("skipped", pa.bool_()),
        ("sha256", pa.binary(32)),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("size_bytes", pa.int64()),
        ("format", pa.string()),
        ("phash", pa.uint64()),
        ("reason", pa.string()),
        ("fault", pa.string()),
        ("note", pa.string()),
        ("reencoded", pa.bool_()),
        ("details", pa.string()),
    ]
)


class Chunks(Sequence[pa.RecordBatch]):
    """The chunks' rows, read from their files; only the chunks in use are in memory."""

    def __init__(self, scratch: Path) -> None:
        """Find the chunks in a folder, from number 0 on."""
        self._paths = list(takewhile(Path.exists, (_chunk_path(scratch, number) for number in count())))
        self._open = lru_cache(maxsize=2)(_read_chunk)

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, number: Any) -> Any:
        if isinstance(number, slice):
            return [self._open(path) for path in self._paths[number]]
        return self._open(self._paths[number])


def _read_chunk(path: Path) -> pa.RecordBatch:
    with pa.memory_map(str(path)) as file:
        return pa.ipc.open_file(file).get_batch(0)


class Survey:
    """What is known about each photo of a source, row by row, in the source's order."""

    def __init__(self, batches: Sequence[pa.RecordBatch], root: Path) -> None:
        """Wrap batches of CHUNK rows each (the last may have fewer); paths without a file are relative to `root`."""
        self.batches, self._root = batches, os.fsencode(root)
        self.count = sum(len(batch) for batch in batches)

    def column(self, name: str, null: Any = 0) -> NDArray[Any]:
        """Return a column of numbers; `null` replaces missing values."""
        columns = [batch.column(name) for batch in self.batches]
        arrays = [column.fill_null(null).to_numpy(zero_copy_only=False) for column in columns]
        return np.concatenate(arrays) if arrays else np.zeros(0)

    def codes(self, name: str) -> tuple[NDArray[np.int32], list[str]]:
        """Return a column of text as indices into its sorted values, and the values; a missing value is -1."""
        numbers: dict[Any, int] = {}
        found = []
        for batch in self.batches:
            encoded = batch.column(name).dictionary_encode()
            own = [numbers.setdefault(value, len(numbers)) for value in encoded.dictionary.to_pylist()]
            lookup = np.array([*own, -1], np.int32)
            found.append(lookup[encoded.indices.fill_null(len(own)).to_numpy(zero_copy_only=False)])
        values = sorted(numbers)
        order = np.full(len(numbers) + 1, -1, np.int32)
        for place, value in enumerate(values):
            order[numbers[value]] = place
        return (order[np.concatenate(found)] if found else np.zeros(0, np.int32)), values

    def present(self, name: str) -> NDArray[np.bool_]:
        """Return for each photo whether a column has a value [photos]."""
        found = [batch.column(name).is_valid().to_numpy(zero_copy_only=False) for batch in self.batches]
        return np.concatenate([*found, np.zeros(0, bool)])

    def bad_rows(self) -> list[int]:
        """Return the rows of photos that can't be used."""
        return np.flatnonzero(self.present("reason") & ~self.column("skipped", False).astype(bool)).tolist()

    def reencoded(self) -> int:
        """Count the photos that were re-encoded, those that were scaled down included."""
        return sum(batch.column("reencoded").true_count for batch in self.batches)

    def value(self, index: int, name: str) -> Any:
        """Return one cell."""
        return self.batches[index // CHUNK].column(name)[index % CHUNK].as_py()

    def path(self, index: int) -> str:
        """Return a photo's name inside the source, as printable text."""
        return printable(self.value(index, "path"))

    def take(self, rows: NDArray[np.int64], *names: str) -> Iterator[tuple[Any, ...]]:
        """Yield some columns of some rows, in the order of `rows`, without holding other rows in memory."""
        if not len(rows):
            return
        order = np.argsort(rows, kind="stable")
        chunks, inside = np.divmod(rows[order], CHUNK)
        starts = np.flatnonzero(np.diff(chunks, prepend=-1))
        pieces = [
            self.batches[chunks[start]].select(names).take(pa.array(inside[start:end]))
            for start, end in pairwise([*starts, len(rows)])
        ]
        table = pa.Table.from_batches(pieces).take(pa.array(np.argsort(order, kind="stable")))
        for start in range(0, len(rows), TAKEN):
            part = table.slice(start, TAKEN)
            yield from zip(*(column.to_pylist() for column in part.columns), strict=True)

    def read(self, index: int) -> bytes:
        """Return a photo's bytes; those of the re-encoded photo, if there is one.

        Raises:
            OSError, ValueError: its file does not exist any more, or ends too soon.
        """
        file, path = self.value(index, "file"), self.value(index, "path")
        return self.read_at(path, file, self.value(index, "offset"), self.value(index, "size"))

    def read_at(self, path: bytes, file: bytes | None, offset: int, size: int) -> bytes:
        """Return a photo's bytes from the place that its row states."""
        return read_bytes(os.path.join(self._root, path) if file is None else file, offset, size)  # noqa: PTH118

    @cached_property
    def sha256_array(self) -> NDArray[np.uint8]:
        """The photos' sha256 [photos, 32] uint8; zeros for photos that couldn't be read."""
        columns = [batch.column("sha256").fill_null(bytes(32)) for batch in self.batches]
        arrays = [np.frombuffer(column.buffers()[1], np.uint8)[: 32 * len(column)] for column in columns]
        return np.concatenate([*arrays, np.zeros(0, np.uint8)]).reshape(-1, 32)


def printable(path: bytes) -> str:
    """Decode a path's bytes as text; bytes that are not UTF-8 become escapes."""
    return path.decode("utf-8", "backslashreplace")


def _as_bytes(text: str) -> bytes:
    """Encode a name as bytes; a file's name may not be valid UTF-8, a name in a manifest not valid Unicode."""
    try:
        return os.fsencode(text)
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace")


def survey_photos(
    photos: Iterable[Photo],
    root: Path,
    scratch: Path,
    limits: Limits,
    threads: int,
    advance: Advance,
    find: Find = lambda sha256: None,
) -> Survey:
    """Check all photos of a source, in chunks of rows; chunks that an interrupted run finished are kept."""
    left: list[int] = []
    sizes: list[int] = []

    def groups() -> Iterator[list[Photo]]:
        waiting = iter(photos)
        number = 0
        while part := list(islice(waiting, CHUNK)):
            if _chunk_path(scratch, number).exists():
                advance(len(part))
            else:
                left.append(number)
                sizes.append(len(part))
                yield from (part[start : start + GROUP] for start in range(0, len(part), GROUP))
            number += 1

    rows: list[Checked] = []
    done = 0
    for checked in in_parallel(lambda group: check_photos(group, limits, find), groups(), threads):
        rows.extend(checked)
        advance(len(checked))
        if len(rows) == sizes[done]:
            _write_chunk(rows, root, scratch, left[done])
            rows, done = [], done + 1
    return Survey(Chunks(scratch), root)


def _chunk_path(scratch: Path, number: int) -> Path:
    return scratch / f"rows-{number:06d}.arrow"


def _write_chunk(rows: Sequence[Checked], root: Path, scratch: Path, number: int) -> None:
    """Write a chunk's rows in one step, after the bytes of its re-encoded photos."""
    reencoded = scratch / f"reencoded-{number:06d}.bin"
    places: dict[int, tuple[int, int]] = {}
    if any(row.encoded is not None for row in rows):
        with reencoded.open("wb") as file:
            for index, row in enumerate(rows):
                if row.encoded is not None:
                    places[index] = file.tell(), file.write(row.encoded)
        fsync(reencoded)
    cells = [_cells(row, root, places.get(index), reencoded) for index, row in enumerate(rows)]
    arrays = [pa.array(column, field.type) for column, field in zip(zip(*cells, strict=True), SCHEMA, strict=True)]
    path = _chunk_path(scratch, number)
    temporary = path.with_name(f".{path.name}.tmp")
    with pa.OSFile(str(temporary), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
        writer.write_batch(pa.record_batch(arrays, schema=SCHEMA))
    fsync(temporary)
    os.replace(temporary, path)


def _cells(row: Checked, root: Path, place: tuple[int, int] | None, reencoded: Path) -> tuple[Any, ...]:
    photo = row.photo
    file: bytes | None = os.fsencode(photo.file) if photo.file != f"{root}/{photo.path}" else None
    offset, size = photo.offset, photo.size
    if place is not None:
        file, (offset, size) = os.fsencode(reencoded), place
    elif size == WHOLE:
        size = row.size_bytes
    return (
        _as_bytes(photo.path),
        printable(_as_bytes(photo.label)) or None,
        file,
        offset,
        size,
        photo.split or None,
        printable(_as_bytes(photo.group)) or None,
        photo.skipped,
        row.sha256 or None,
        row.width,
        row.height,
        row.size_bytes,
        row.format or None,
        row.phash,
        row.reason or None,
        row.fault or None,
        row.note or None,
        place is not None,
        photo.details or None,
    )
