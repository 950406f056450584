"""Detection of the kind of source at a path."""

from __future__ import annotations

import os
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from pathlib import Path

from slimline.pipeline.errors import UserError
from slimline.stages.data.sources.kinds import SourceKind, is_record_name
from slimline.stages.data.sources.parquet import holds_images, parquet_files
from slimline.stages.data.sources.photo import Columns, setting
from slimline.stages.data.sources.split_names import split_in
from slimline.stages.data.sources.tfds import is_prepared

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
MANIFESTS = (".csv", ".tsv", ".jsonl", ".ndjson", ".json")
LEVELS_BELOW, MOST_ENTRIES, MOST_SHOWN = 2, 1000, 5


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
    tables = [file for file in there if _is_table(file)]
    table = next((file for file in tables if file.is_file()), None) or _table_below(path, LEVELS_BELOW)
    # a table without images, next to class folders, describes the photos but does not hold them
    if table is None or not holds_images(table, columns):
        return SourceKind.folder
    _require_one_config(path, columns)
    return SourceKind.parquet


def _is_table(file: Path) -> bool:
    return file.suffix.lower() == ".parquet" and not file.name.startswith(".")


def _table_below(folder: Path, levels: int) -> Path | None:
    """Find a Parquet file in the folders inside a folder: a hub's repository has one for a config, and for a split."""
    folders = []
    with suppress(OSError), os.scandir(folder) as entries:
        folders = sorted(
            Path(one.path) for one in islice(entries, MOST_ENTRIES) if one.is_dir() and one.name[:1] != "."
        )
    for below in folders:
        with suppress(OSError), os.scandir(below) as entries:
            files = [Path(one.path) for one in islice(entries, MOST_ENTRIES) if one.is_file()]
            if table := min(filter(_is_table, files), default=None):
                return table
        if levels > 1 and (table := _table_below(below, levels - 1)):
            return table
    return None


def _require_one_config(root: Path, columns: Columns) -> None:
    """Refuse a folder with Parquet files of several configs, as repositories on the Hugging Face hub may hold them."""
    configs: dict[tuple[str, ...], Path] = {}
    for path in parquet_files(root):
        configs.setdefault(_config_folder(path.relative_to(root).parts[:-1]), path)
    if len(configs) > 1:
        folders = [root.joinpath(*parts) for parts, path in sorted(configs.items()) if holds_images(path, columns)]
        shown = [setting("ingest.images", folder) for folder in folders[:MOST_SHOWN]]
        raise UserError(
            f"{root} holds Parquet files in {len(configs)} folders, which may be different datasets.",
            f"Choose one: {' or '.join(shown)}{' or ...' if len(folders) > MOST_SHOWN else ''}",
            f"Or take all of them together: {setting('ingest.images', root)} ingest.source=parquet",
        )


def _config_folder(parts: tuple[str, ...]) -> tuple[str, ...]:
    """Return the folder of a config, above the folders of its splits."""
    return _config_folder(parts[:-1]) if parts and split_in(parts[-1]) else parts


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
