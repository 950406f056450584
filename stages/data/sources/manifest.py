"""A list of photos: CSV, JSON Lines or Parquet, with a path and a label in each row, perhaps a split and a group."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import UserError
from stages.data.sources.layout import split_named
from stages.data.sources.photo import Columns, Listing, Photo

DELIMITERS = ",;\t|"
BATCH_ROWS = 4096
SPLITS_ALLOWED = "train, validation (val, valid, dev), test (eval)"


def list_manifest(asked: Listing) -> Iterator[Photo]:
    """List a manifest's photos; their paths are relative to the manifest's own folder, or absolute.

    Raises:
        UserError: a column isn't there, a line can't be read, a split's name isn't known.
    """
    folder = asked.root.parent
    for number, row in rows(asked.root, asked.columns):
        path, label = (_text(row.get(name)) for name in (asked.columns.path, asked.columns.label))
        stated = _text(row.get(asked.columns.split))
        split = split_named(stated)
        if stated and not split:
            raise UserError(
                f"{asked.root.name}, row {number}: {asked.columns.split}={stated!r} is no split.",
                f"The splits are {SPLITS_ALLOWED}; an empty one is left to ingest.split.",
            )
        photo = Photo(path or f"row {number}", label, split=split, group=_text(row.get(asked.columns.group)))
        if not path or not label:
            missing = asked.columns.label if path else asked.columns.path
            yield photo._replace(problem=f"row {number} has no {missing}")
        elif "://" in path:
            yield photo._replace(problem="an address, not a file: download the photos first")
        else:
            yield photo._replace(file=os.path.join(folder, path))  # noqa: PTH118  # a million Paths cost seconds


def files_named(manifest: Path, columns: Columns) -> Iterator[Path]:
    """Yield the files that a manifest names, for its content's digest."""
    for _, row in rows(manifest, columns):
        if path := _text(row.get(columns.path)):
            yield manifest.parent / path


def rows(manifest: Path, columns: Columns) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield a manifest's rows with their numbers, from 1."""
    suffix = manifest.suffix.lower()
    read = _parquet_rows if suffix == ".parquet" else _csv_rows if suffix in (".csv", ".tsv") else _json_rows
    yield from enumerate(read(manifest, columns), 1)


def _csv_rows(manifest: Path, columns: Columns) -> Iterator[Mapping[str, Any]]:
    with manifest.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        header = file.readline()
        file.seek(0)
        delimiter = max(DELIMITERS, key=header.count)
        try:
            table = csv.DictReader(file, delimiter=delimiter)
            _require_columns(manifest, table.fieldnames or [], columns)
            yield from table
        except csv.Error as error:
            raise UserError(f"{manifest.name} can't be read as CSV: {error}.", "Mend the file.") from error


def _json_rows(manifest: Path, columns: Columns) -> Iterator[Mapping[str, Any]]:
    with manifest.open(encoding="utf-8-sig", errors="surrogateescape") as file:
        checked = False
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise _no_object(manifest, number, str(error)) from error
            if not isinstance(row, dict):
                raise _no_object(manifest, number, f"it holds {type(row).__name__}")
            if not checked:
                _require_columns(manifest, row, columns)
                checked = True
            yield row


def _no_object(manifest: Path, number: int, why: str) -> UserError:
    return UserError(
        f"{manifest.name}, line {number}, is no JSON object: {why}.",
        'Each line holds one photo: {"path": "a.jpg", "label": "ant"}',
    )


def _parquet_rows(manifest: Path, columns: Columns) -> Iterator[Mapping[str, Any]]:
    import pyarrow.parquet as pq

    from stages.data.sources.parquet import class_names

    with pq.ParquetFile(manifest) as file:
        there = file.schema_arrow.names
        _require_columns(manifest, there, columns)
        names = class_names(file.schema_arrow, columns.label)
        wanted = [name for name in (columns.path, columns.label, columns.split, columns.group) if name in there]
        for batch in file.iter_batches(BATCH_ROWS, columns=wanted):
            for row in batch.to_pylist():
                yield {**row, columns.label: names.get(row[columns.label], row[columns.label])}


def _require_columns(manifest: Path, there: Iterable[str], columns: Columns) -> None:
    names = list(there)
    for key in ("path", "label"):
        name = getattr(columns, key)
        if name not in names:
            raise UserError(
                f"{manifest.name} has no column {name!r}; it has: {', '.join(map(str, names)) or 'none'}.",
                f"Say which one holds the {key}: ingest.columns.{key}=...",
            )


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()
