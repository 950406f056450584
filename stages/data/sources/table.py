"""The kinds of sources there are, and which one lies at a path."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Callable
from enum import Enum
from pathlib import Path

from slimline.pipeline.errors import UserError
from slimline.stages.data.sources.archive import is_compressed, list_archive
from slimline.stages.data.sources.folder import list_folder
from slimline.stages.data.sources.manifest import list_manifest
from slimline.stages.data.sources.parquet import holds_images, list_parquet
from slimline.stages.data.sources.photo import Columns, ListPhotos
from slimline.stages.data.sources.tfds import is_prepared, list_prepared
from slimline.stages.data.sources.tfrecord import is_record_name, list_tfrecords

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
MANIFESTS = (".csv", ".tsv", ".jsonl", ".ndjson", ".json")


class SourceKind(Enum):
    """What lies at `ingest.images`; `auto` looks."""

    auto = "auto"
    folder = "folder"
    manifest = "manifest"
    parquet = "parquet"
    archive = "archive"
    tfrecord = "tfrecord"
    tfds = "tfds"


SOURCES: dict[SourceKind, ListPhotos] = {
    SourceKind.folder: list_folder,
    SourceKind.manifest: list_manifest,
    SourceKind.parquet: list_parquet,
    SourceKind.archive: list_archive,
    SourceKind.tfrecord: list_tfrecords,
    SourceKind.tfds: list_prepared,
}


def kind_at(path: Path, columns: Columns) -> SourceKind:
    """Say what kind of source lies at a path.

    Raises:
        UserError: none that is known.
    """
    return _kind_of_folder(path, columns) if path.is_dir() else _kind_of_file(path, columns)


def _kind_of_folder(path: Path, columns: Columns) -> SourceKind:
    if is_prepared(path):
        return SourceKind.tfds
    try:
        there = sorted(path.iterdir())
        there += sorted((path / "data").iterdir()) if (path / "data").is_dir() else []
    except OSError as error:
        raise UserError(f"ingest.images={path} can't be read: {error.strerror}.", "Give what you may read.") from error
    if any(is_record_name(file.name) and file.parent == path and file.is_file() for file in there):
        return SourceKind.tfrecord
    tables = [file for file in there if file.suffix.lower() == ".parquet" and not file.name.startswith(".")]
    table = next((file for file in tables if file.is_file()), None)
    # beside the classes' folders, a table without images tells of the photos, and is none of them
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
        f"ingest.images={path} is no source of labelled photos that is known.",
        "Give a folder with a folder of photos for each class, a manifest (.csv, .tsv, .jsonl, .parquet),"
        " Parquet files with images, an archive (.zip, .tar, .tar.gz), or TFRecords.",
    )


def lists_quickly(kind: SourceKind, path: Path) -> bool:
    """Say whether listing a source's photos takes no reading of the photos themselves."""
    if kind is SourceKind.archive:
        return not is_compressed(path)
    return kind not in (SourceKind.tfrecord, SourceKind.tfds)
