"""Detection of the kind of source at a path."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from slimline.pipeline.errors import UserError
from slimline.stages.data.sources.kinds import SourceKind, is_record_name
from slimline.stages.data.sources.parquet import holds_images
from slimline.stages.data.sources.photo import Columns
from slimline.stages.data.sources.tfds import is_prepared

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
MANIFESTS = (".csv", ".tsv", ".jsonl", ".ndjson", ".json")


def kind_at(path: Path, columns: Columns) -> SourceKind:
    """Return the kind of source at a path.

    Raises:
        UserError: it is not a known kind of source.
    """
    return _kind_of_folder(path, columns) if path.is_dir() else _kind_of_file(path, columns)


def _kind_of_folder(path: Path, columns: Columns) -> SourceKind:
    if is_prepared(path):
        return SourceKind.tfds
    try:
        there = sorted(path.iterdir())
        there += sorted((path / "data").iterdir()) if (path / "data").is_dir() else []
    except OSError as error:
        raise UserError(
            f"ingest.images={path} can't be read: {error.strerror}.", "Check the folder's permissions."
        ) from error
    if any(is_record_name(file.name) and file.parent == path and file.is_file() for file in there):
        return SourceKind.tfrecord
    tables = [file for file in there if file.suffix.lower() == ".parquet" and not file.name.startswith(".")]
    table = next((file for file in tables if file.is_file()), None)
    # a table without images, next to class folders, describes the photos but does not hold them
    return SourceKind.parquet if table is not None and holds_images(table, columns) else SourceKind.folder


def _kind_of_file(path: Path, columns: Columns) -> SourceKind:
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return SourceKind.parquet if holds_images(path, columns) else SourceKind.manifest
    tests: dict[SourceKind, Callable[[], bool]] = {
        SourceKind.manifest: lambda: suffix in MANIFESTS,
        SourceKind.tfrecord: lambda: is_record_name(path.name),
        SourceKind.archive: lambda: (
            path.name.lower().endswith(ARCHIVES) or zipfile.is_zipfile(path) or tarfile.is_tarfile(path)
        ),
    }
    for kind, is_one in tests.items():
        if is_one():
            return kind
    raise UserError(
        f"ingest.images={path} is not a known kind of source.",
        "Use a folder with one folder of photos per class, a manifest (.csv, .tsv, .jsonl, .parquet),"
        " Parquet files with images, an archive (.zip, .tar, .tar.gz), or TFRecords.",
    )
