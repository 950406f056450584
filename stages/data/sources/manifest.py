"""Manifests: CSV, JSON Lines or Parquet files with a path and a label, optionally a split and a group, in each row."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from slimline.pipeline.errors import UserError
from slimline.stages.data.sources.cells import (
    class_names,
    details_of,
    label_of,
    require_kept,
    require_single,
    split_of,
    text_of,
)
from slimline.stages.data.sources.photo import Columns, Listing, Photo

DELIMITERS = ",;\t|"
BATCH_ROWS = 4096
UTF16 = (b"\xff\xfe", b"\xfe\xff")


def list_manifest(asked: Listing) -> Iterator[Photo]:
    """List a manifest's photos; their paths are relative to the manifest's own folder, or absolute.

    Raises:
        UserError: a column is missing, a line can't be read, or a split's name is unknown.
    """
    folder, columns = asked.root.parent, asked.columns
    for number, row in rows(asked.root, columns):
        where = f"{asked.root.name}, row {number}"
        require_single(row, (columns.path, columns.label, columns.split, columns.group), where)
        path, label = text_of(row.get(columns.path)), label_of(row.get(columns.label), {})
        _require_unicode(label, f"{where}: {columns.label}")
        photo = Photo(
            path if path.strip() else f"row {number}",
            label,
            split=split_of(row.get(columns.split), f"{where}: {columns.split}", {}),
            group=text_of(row.get(columns.group)).strip(),
            details=details_of(row, columns.keep),
        )
        if None in row:
            yield photo._replace(problem=f"row {number} has more cells than there are columns")
        elif not path.strip() or not label:
            yield photo._replace(problem=f"row {number} has no {columns.label if path.strip() else columns.path}")
        elif "://" in path:
            yield photo._replace(problem="an address, not a file: download the photos first")
        elif not _can_name_a_file(path):
            yield photo._replace(problem="not a valid file name")
        else:
            yield photo._replace(file=os.path.join(folder, path))  # noqa: PTH118  # a million Paths cost seconds


def files_named(manifest: Path, columns: Columns) -> Iterator[Path]:
    """Yield the files that a manifest names, for its content's digest: one per row that names a file.

    A path that is not a file is replaced by the manifest's folder, because reading a pipe would wait for a writer.
    """
    for _, row in rows(manifest, columns):
        if (path := text_of(row.get(columns.path))).strip():
            file = manifest.parent / path
            yield file if os.path.isfile(file) else manifest.parent  # noqa: PTH113  # Path raises for long names


def rows(manifest: Path, columns: Columns) -> Iterator[tuple[int, Mapping[Any, Any]]]:
    """Yield a manifest's rows with their numbers, from 1 on."""
    suffix = manifest.suffix.lower()
    read = _parquet_rows if suffix == ".parquet" else _csv_rows if suffix in (".csv", ".tsv") else _json_rows
    yield from enumerate(read(manifest, columns), 1)


def _csv_rows(manifest: Path, columns: Columns) -> Iterator[Mapping[Any, Any]]:
    _require_bytes_of_text(manifest)
    with manifest.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        header = file.readline()
        file.seek(0)
        delimiter = max(DELIMITERS, key=header.count)
        table = csv.DictReader(file, delimiter=delimiter, skipinitialspace=True, strict=True)
        try:
            _require_columns(manifest, table.fieldnames or [], columns)
            yield from table
        except csv.Error as error:
            raise UserError(
                f"{manifest.name}, line {table.line_num + 1}, can't be read as CSV: {error}.",
                'Correct the file: close each ", and write a " inside a text as "".',
            ) from error


def _json_rows(manifest: Path, columns: Columns) -> Iterator[Mapping[Any, Any]]:
    _require_bytes_of_text(manifest)
    with manifest.open(encoding="utf-8-sig", errors="surrogateescape") as file:
        checked = False
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (json.JSONDecodeError, RecursionError) as error:
                raise _not_an_object(manifest, number, str(error)) from error
            if not isinstance(row, dict):
                raise _not_an_object(manifest, number, f"it holds {type(row).__name__}")
            if not checked:
                _require_columns(manifest, row, columns)
                checked = True
            yield row


def _not_an_object(manifest: Path, number: int, why: str) -> UserError:
    return UserError(
        f"{manifest.name}, line {number}, is not a JSON object: {why}.",
        'Write one photo per line: {"path": "a.jpg", "label": "ant"}',
    )


def _parquet_rows(manifest: Path, columns: Columns) -> Iterator[Mapping[Any, Any]]:
    from slimline.stages.data.sources.parquet import open_table

    with open_table(manifest) as file:
        there = file.schema_arrow.names
        _require_columns(manifest, there, columns)
        wanted = [
            name for name in (columns.path, columns.label, columns.split, columns.group, *columns.keep) if name in there
        ]
        names = {name: class_names(file.schema_arrow, name) for name in (columns.label, columns.split)}
        for batch in file.iter_batches(BATCH_ROWS, columns=wanted):
            for row in batch.to_pylist():
                require_single(row, tuple(wanted), manifest.name)
                yield {**row, **{name: label_of(row.get(name), known) for name, known in names.items()}}


def _require_columns(manifest: Path, there: Iterable[Any], columns: Columns) -> None:
    names = list(there)
    for key in ("path", "label"):
        name = getattr(columns, key)
        if name not in names:
            raise UserError(
                f"{manifest.name} has no column {name!r}; it has: {', '.join(map(str, names)) or 'none'}.",
                f"Name the column that holds the {key}: ingest.columns.{key}=...",
            )
    require_kept(manifest.name, names, columns.keep)


def _require_bytes_of_text(manifest: Path) -> None:
    with manifest.open("rb") as file:
        if file.read(2) in UTF16:
            raise UserError(f"{manifest.name} is UTF-16 text.", "Save it as UTF-8.")


def _require_unicode(text: str, where: str) -> None:
    """Refuse a class name that is not UTF-8; the bytes of a path are used unchanged, as on the disk."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        shown = text.encode("utf-8", "backslashreplace").decode()
        raise UserError(f"{where}={shown} isn't UTF-8.", "Save the manifest as UTF-8.") from error


def _can_name_a_file(path: str) -> bool:
    try:
        return b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        return False
