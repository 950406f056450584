"""Small pictures of photos, stored as data for a page that is written later."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

FILE = "pictures.arrow"
SCHEMA = pa.schema([("row", pa.int64()), ("role", pa.string()), ("other", pa.int64()), ("jpeg", pa.binary())])


class Role(StrEnum):
    """Why a photo has a picture."""

    example = "example"
    quarantined = "quarantined"
    twin = "twin"
    label_error = "label_error"


class Picture(NamedTuple):
    """A photo as a small JPEG, upright.

    `row` is the photo's row in `index.parquet`, or in `label_errors.parquet` for Role.label_error. `other` is, for
    Role.twin, the row of the photo that looks the same.
    """

    row: int
    role: Role
    jpeg: bytes
    other: int | None = None


def write_pictures(folder: Path, pictures: Iterable[Picture]) -> None:
    """Write `pictures.arrow`, an Arrow IPC file with one row per picture, in the given order.

    Its columns are those of `Picture`: `row` int64, `role` text, `other` int64 or null, `jpeg` bytes.
    """
    columns = [{**one._asdict(), "role": one.role.value} for one in pictures]
    table = pa.Table.from_pylist(columns, SCHEMA)
    with pa.OSFile(str(folder / FILE), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
        writer.write_table(table)


def read_pictures(folder: Path) -> list[Picture]:
    """Read a folder's `pictures.arrow`."""
    with pa.memory_map(str(folder / FILE)) as file:
        rows = pa.ipc.open_file(file).read_all().to_pylist()
    return [Picture(**{**row, "role": Role(row["role"])}) for row in rows]
