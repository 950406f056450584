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
from slimline.stages.images.faults import Fault

PARQUET = ".parquet"
A_LIST = "a list; give the photos themselves, their folder or a pattern"
NO_PHOTOS = "it contains no photos"


class InputFile(NamedTuple):
    """A file to read photos from.

    `problem` says why there are none, and `fault` is the kind of reason. `skipped` is true for files among the photos
    that are not meant as such, by their names and first bytes.
    """

    path: Path
    problem: str = ""
    fault: Fault = Fault.unreadable
    skipped: bool = False


def input_files(inputs: Iterable[Path]) -> Iterator[InputFile]:
    """Yield given files as they are, and for folders the files below them, sorted; links are followed.

    Hidden files and those that an operating system creates for itself are left out. A folder in which there is nothing
    to read is yielded itself, with the reason.
    """
    for given in inputs:
        if not given.is_dir():
            is_list = given.name.lower().endswith(MANIFESTS)
            yield InputFile(given, A_LIST, Fault.not_an_image) if is_list else InputFile(given)
            continue
        empty = True
        for one in _files_below(given):
            empty = empty and one.skipped
            yield one
        if empty:
            yield InputFile(given, NO_PHOTOS, Fault.empty)


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


def at_first_sight(file: InputFile) -> InputFile:
    """Return a file with the reason why it can't be used, as far as its first bytes show it."""
    from slimline.stages.images.files import START_BYTES, NotUsable, readable_format

    if file.problem or file.skipped or is_table(file.path) or is_archive(file.path):
        return file
    if not file.path.is_file():
        return file._replace(problem="not a regular file, but a pipe, socket or device")
    try:
        with file.path.open("rb") as opened:
            readable_format(opened.read(START_BYTES))
    except OSError as error:
        return file._replace(problem=f"can't be read: {error.strerror}")
    except NotUsable as error:
        return file._replace(problem=str(error), fault=error.fault)
    return file


def _starts_as_a_photo(path: Path) -> bool:
    try:
        return looks_like_a_photo(read_bytes(os.fspath(path), 0, MAGIC_BYTES))
    except (OSError, ValueError):  # unreadable, or shorter than any photo
        return False


def printable(path: str) -> str:
    """Return a path as text that can be encoded; bytes that are not valid UTF-8 become escapes."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
