"""Rows of manifests, as mappings by column: of CSV, of JSON Lines and of Parquet files."""

from __future__ import annotations

import csv
import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from slimline.pipeline.errors import UserError
from slimline.stages.data.sources.cells import class_names, label_of, require_kept, require_single
from slimline.stages.data.sources.layout import is_photo_name
from slimline.stages.data.sources.photo import Columns, setting

DELIMITERS = ",;\t|"
BATCH_ROWS = 4096
UTF16 = (b"\xff\xfe", b"\xfe\xff")
STATED = ("label", "as stated")
"""Under this key, a row of a Parquet manifest has its label as it is in the file."""

LIKELY = {
    "path": (
        "path",
        "filepath",
        "imagepath",
        "filename",
        "file",
        "imagename",
        "image",
        "img",
        "imageid",
        "photo",
        "id",
    ),
    "label": ("label", "class", "classname", "labelname", "category", "species", "target", "labels", "diagnosis", "y"),
}
"""Likely names of columns, in lower case, without spaces and underscores."""

UNKNOWN = "..."
TABLES = (".csv", ".tsv", ".txt")


def rows(manifest: Path, columns: Columns) -> Iterator[tuple[int, Mapping[Any, Any]]]:
    """Yield a manifest's rows with their numbers, from 1 on.

    A row with more cells than there are columns has under None their numbers: found and expected.
    """
    suffix = manifest.suffix.lower()
    read = _parquet_rows if suffix == ".parquet" else _csv_rows if suffix in TABLES else _json_rows
    yield from enumerate(read(manifest, columns), 1)


def _csv_rows(manifest: Path, columns: Columns) -> Iterator[Mapping[Any, Any]]:
    with _opened_text(manifest, newline="") as file:
        delimiter = _delimiter(file)
        table = csv.reader(file, delimiter=delimiter, skipinitialspace=True, strict=True)
        last = 0
        try:
            names = [name.strip() for name in next(table, [])]
            last = table.line_num
            _require_columns(manifest, names, columns)
            for cells in table:
                last = table.line_num
                if any(cell.strip() for cell in cells):  # spreadsheets add rows of commas
                    row: dict[Any, Any] = dict(zip(names, cells, strict=False))
                    if any(cell.strip() for cell in cells[len(names) :]):
                        row[None] = len(cells), len(names)
                    yield row
        except csv.Error as error:
            raise UserError(
                f"{manifest.name}, line {last + 1}, can't be read as CSV: {error}.",
                'Correct the file: close each ", and write a " inside a text as "".',
            ) from error


def _delimiter(file: TextIO) -> str:
    """Return the delimiter that the first line shows, and go to the header; Excel may state it as `sep=;`."""
    first = file.readline()
    if stated := re.fullmatch(r"sep=(.)\s*", first, re.IGNORECASE):
        return stated[1]
    file.seek(0)
    return max(DELIMITERS, key=first.count)


@contextmanager
def _opened_text(manifest: Path, newline: str | None = None) -> Iterator[TextIO]:
    """Open a text in UTF-8, or in UTF-16 with its mark; other bytes are kept as surrogates."""
    with manifest.open("rb") as binary:
        is_utf16 = binary.read(2) in UTF16
    encoding, errors = ("utf-16", "strict") if is_utf16 else ("utf-8-sig", "surrogateescape")
    try:
        with manifest.open(encoding=encoding, errors=errors, newline=newline) as file:
            yield file
    except UnicodeError as error:
        raise UserError(f"{manifest.name} is not valid UTF-16 text: {error}.", "Save it as UTF-8.") from error


def _json_rows(manifest: Path, columns: Columns) -> Iterator[Mapping[Any, Any]]:
    with _opened_text(manifest) as file:
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
                named = {name: label_of(row.get(name), known) for name, known in names.items()}
                yield {**row, **named, STATED: row.get(columns.label)}


def _require_columns(manifest: Path, there: Iterable[Any], columns: Columns) -> None:
    names = [str(name) for name in there]
    missing = {key: name for key in LIKELY if (name := getattr(columns, key)) not in names}
    if missing:
        likely = {key: _likely(key, names) for key in missing}
        settings = " ".join(setting(f"ingest.columns.{key}", name) for key, name in likely.items())
        which = "column" if len(missing) == 1 else "columns"
        advice = f"Name the {which} of the {' and the '.join(missing)}: {settings}"
        if not names or any(map(is_photo_name, names)):
            advice = _advice_without_header(manifest, bool(names))
        raise UserError(
            f"{manifest.name} has no {which} {' and '.join(map(repr, missing.values()))};"
            f" it has: {', '.join(names) or 'none'}.",
            advice,
        )
    require_kept(manifest.name, names, columns.keep)


def guessed_columns(manifest: Path, columns: Columns) -> dict[str, str]:
    """Return the likely names of a manifest's columns of paths and labels, by setting; empty if one has none.

    Raises:
        UserError: it can't be read.
    """
    names = list(_names(manifest))
    found = {key: own if (own := getattr(columns, key)) in names else _likely(key, names) for key in LIKELY}
    return {} if UNKNOWN in found.values() or len(set(found.values())) < len(found) else found


def _names(manifest: Path) -> Iterable[str]:
    suffix = manifest.suffix.lower()
    if suffix in TABLES:
        with _opened_text(manifest, newline="") as file:
            return [name.strip() for name in next(csv.reader(file, delimiter=_delimiter(file)), [])]
    with _opened_text(manifest) as file:
        try:
            row = json.loads(file.readline())
        except (json.JSONDecodeError, RecursionError):
            return []
    return row if isinstance(row, dict) else []


def _likely(key: str, names: Iterable[str]) -> str:
    """Return the column that is most likely the one that is missing, or UNKNOWN."""
    by_plain_name = {re.sub(r"[\W_]", "", name).lower(): name for name in reversed(list(names))}
    return next((by_plain_name[word] for word in LIKELY[key] if word in by_plain_name), UNKNOWN)


def _advice_without_header(manifest: Path, has_rows: bool) -> str:
    if not has_rows:
        return "It is empty: write the names of columns into its first line, and one photo into each of the others."
    path, new = (shlex.quote(str(one)) for one in (manifest, manifest.with_stem(f"{manifest.stem}-header")))
    return f"Its first line is a photo; add a header: (echo path,label; cat {path}) > {new}"
