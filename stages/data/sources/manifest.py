"""Manifests: CSV, JSON Lines or Parquet files with a path and a label, optionally a split and a group, in each row."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from slimline.pipeline.errors import UserError
from slimline.stages.data.sources.cells import (
    details_of,
    label_of,
    require_single,
    split_of,
    text_of,
    why_no_label,
)
from slimline.stages.data.sources.manifest_rows import STATED, rows
from slimline.stages.data.sources.named_files import file_named, is_file_url, photo_folder
from slimline.stages.data.sources.photo import Columns, Listing, Photo
from slimline.stages.images.faults import Fault


def list_manifest(asked: Listing) -> Iterator[Photo]:
    """List a manifest's photos. Their paths are absolute, or relative to the manifest's folder or to one next to it.

    Raises:
        UserError: a column is missing, a line can't be read, or a split's name is unknown.
    """
    columns = asked.columns
    folder = os.fspath(_photo_folder(asked.root, columns))
    for number, row in rows(asked.root, columns):
        where = f"{asked.root.name}, row {number}"
        require_single(row, (columns.path, columns.label, columns.split, columns.group), where)
        path, label = text_of(row.get(columns.path)), label_of(row.get(columns.label), {})
        _require_unicode(label, f"{where}: {columns.label}", asked.root)
        photo = Photo(
            path if path.strip() else f"row {number}",
            label,
            split=split_of(row.get(columns.split), f"{where}: {columns.split}", {}),
            group=text_of(row.get(columns.group)).strip(),
            details=details_of(row, columns.keep),
        )
        if None in row:
            found, expected = row[None]
            yield photo._replace(problem=f"row {number}: {found} columns, expected {expected}", fault=Fault.faulty_row)
        elif not path.strip():
            yield photo._replace(problem=f"row {number} has no {columns.path}", fault=Fault.faulty_row)
        elif not label:
            why = why_no_label(row.get(STATED, row.get(columns.label)), columns.label)
            problem = f"row {number}: {why}" if why else f"row {number} has no {columns.label}"
            yield photo._replace(problem=problem, fault=Fault.unlabeled)
        elif "://" in path and not is_file_url(path):
            yield photo._replace(problem="an address, not a file: download the photos first", fault=Fault.web_address)
        elif not _can_name_a_file(path):
            yield photo._replace(problem="not a valid file name", fault=Fault.missing)
        else:
            file = file_named(folder, path)
            yield photo._replace(path=path if file.endswith(path) else path.strip(), file=file)


def files_named(manifest: Path, columns: Columns) -> Iterator[Path]:
    """Yield the files that a manifest names, for its content's digest: one per row that names a file.

    A path that is not a file is replaced by the manifest's folder, because reading a pipe would wait for a writer.
    """
    folder = os.fspath(_photo_folder(manifest, columns))
    for _, row in rows(manifest, columns):
        path = text_of(row.get(columns.path))
        if path.strip():
            file = file_named(folder, path) if _can_name_a_file(path) else ""
            yield Path(file) if os.path.isfile(file) else manifest.parent  # noqa: PTH113  # Path raises for long names


def paths_named(manifest: Path, columns: Columns) -> Iterator[str]:
    """Yield the paths of a manifest's rows, as they are written there."""
    paths = (text_of(row.get(columns.path)) for _, row in rows(manifest, columns))
    return (path for path in paths if path.strip() and _can_name_a_file(path))


def _photo_folder(manifest: Path, columns: Columns) -> Path:
    return photo_folder(manifest, paths_named(manifest, columns))


def _require_unicode(text: str, where: str, manifest: Path) -> None:
    """Refuse a class name that is not UTF-8; the bytes of a path are used unchanged, as on the disk."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        shown = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        path, new = (shlex.quote(str(one)) for one in (manifest, manifest.with_stem(f"{manifest.stem}-utf8")))
        raise UserError(
            f"{where}={shown} is not UTF-8.",
            f"Save the manifest as UTF-8; if it is Latin-1: iconv -f WINDOWS-1252 -t UTF-8 {path} > {new}",
        ) from error


def _can_name_a_file(path: str) -> bool:
    try:
        return b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        return False
