"""Files that the inputs of `classify` lead to: photos, and Parquet files and archives with photos inside."""

from __future__ import annotations

import os
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from slimline.pipeline.content import walk
from slimline.stages.data.sources.detection import ARCHIVES, MANIFESTS
from slimline.stages.data.sources.layout import is_photo_name, is_systems_own
from slimline.stages.data.sources.photo import MAGIC_BYTES, looks_like_a_photo, read_bytes

PARQUET = ".parquet"


class InputFile(NamedTuple):
    """A file to read photos from; `problem` says why there are none, `skipped` that it is not meant as a photo."""

    path: Path
    problem: str = ""
    skipped: bool = False


def input_files(inputs: Iterable[Path]) -> Iterator[InputFile]:
    """Yield given files as they are, and for folders the files below them, sorted; links are followed.

    Hidden files and those that an operating system creates for itself are left out. A folder in which there is nothing
    to read is yielded itself, with the reason.
    """
    for given in inputs:
        if not given.is_dir():
            is_list = given.name.lower().endswith(MANIFESTS)
            yield InputFile(given, "a list; give the photos themselves, their folder or a pattern" if is_list else "")
            continue
        empty = True
        for one in _files_below(given):
            empty = empty and one.skipped
            yield one
        if empty:
            yield InputFile(given, "it contains no photos")


def _files_below(folder: Path) -> Iterator[InputFile]:
    prefix = len(os.fspath(folder / "x")) - 1
    for found in walk(folder):
        if found.hidden or is_systems_own(os.fspath(found.path)[prefix:].split("/")):
            continue
        if found.fault:
            yield InputFile(found.path, found.fault)
        else:
            is_meant = is_photo_name(found.path.name) or is_table(found.path) or _starts_as_a_photo(found.path)
            yield InputFile(found.path, skipped=not is_meant)


def is_table(path: Path) -> bool:
    """Return whether a file is named as a Parquet file."""
    return path.suffix.lower() == PARQUET


def is_archive(path: Path) -> bool:
    """Return whether a file is an archive, by its name or, unless it begins as a photo, by its content."""
    if path.name.lower().endswith(ARCHIVES):
        return True
    return not _starts_as_a_photo(path) and path.is_file() and (zipfile.is_zipfile(path) or tarfile.is_tarfile(path))


def _starts_as_a_photo(path: Path) -> bool:
    try:
        return looks_like_a_photo(read_bytes(os.fspath(path), 0, MAGIC_BYTES))
    except (OSError, ValueError):  # unreadable, or shorter than any photo
        return False
