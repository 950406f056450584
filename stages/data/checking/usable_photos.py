"""Photos for a network, each checked first: its bytes if it can be used, else the reason why not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from slimline.pipeline.errors import UserError
from slimline.stages.data.checking.checks import Limits, usable_bytes
from slimline.stages.data.checking.input_files import NO_PHOTOS, InputFile, is_archive, is_table
from slimline.stages.data.sources.layout import not_named_as_a_photo
from slimline.stages.data.sources.members import count_members, read_members
from slimline.stages.data.sources.parquet import count_images, read_images
from slimline.stages.data.sources.photo import TooLarge, read_bytes
from slimline.stages.images.faults import Fault
from slimline.stages.images.files import NotUsable
from slimline.stages.images.parallel import in_parallel

NO_COLUMN = "has no column of images"
LIMITS = Limits(pixels=100_000_000, frames=100, file_bytes=256_000_000)
"""Limits of one photo: ingest's defaults."""


class Looked(NamedTuple):
    """A photo that was checked: its name, and its bytes or the reason why it can't be used, with its kind.

    `skipped` is true for files among the photos that are not meant as such, by their names and first bytes.
    """

    name: str
    encoded: bytes = b""
    reason: str = ""
    fault: Fault | None = None
    skipped: bool = False


class _Given(NamedTuple):
    """A photo that was not read yet: its name, and what reads it."""

    name: str
    read: Callable[[], bytes]
    skipped: bool = False


def usable_photos(files: Iterable[InputFile], limits: Limits = LIMITS) -> Iterator[Looked]:
    """Yield the photos in files, also those inside tables and archives, read and checked in order, on all cores.

    A damaged table or archive yields the photos before the damage, then a reason under its own name. Reasons name the
    limits as settings of `classify`.
    """
    return in_parallel(lambda given: look(given, limits), _photos(files, limits), 0)


def count_photos(files: Iterable[InputFile]) -> int | None:
    """Return how many photos `usable_photos` would yield without those that are skipped; None if that is unknown."""
    counts = [_count(file) for file in files if not file.skipped]
    return None if None in counts else sum(count for count in counts if count is not None)


def _count(file: InputFile) -> int | None:
    if not file.problem and is_table(file.path):
        try:
            return count_images(file.path)
        except UserError:
            return 1  # for its reason
    return count_members(file.path) if not file.problem and is_archive(file.path) else 1


def _photos(files: Iterable[InputFile], limits: Limits) -> Iterator[_Given]:
    for file in files:
        if file.problem or file.skipped:
            problem = file.problem or not_named_as_a_photo(file.path.name)
            yield _refused(str(file.path), problem, file.fault, file.skipped)
        elif is_table(file.path):
            yield from _inside(file.path, _in_table(file.path))
        elif is_archive(file.path):
            yield from _inside(file.path, _in_archive(file.path, limits))
        else:
            yield _Given(str(file.path), partial(read_bytes, str(file.path), most_bytes=limits.file_bytes))


def _inside(path: Path, photos: Iterable[_Given]) -> Iterator[_Given]:
    """Yield the photos in a table or an archive, then the reason why there are no more, if it is not simply its end."""
    empty = True
    try:
        for one in photos:
            empty = empty and one.skipped
            yield one
    except UserError as error:
        fault = Fault.not_an_image if NO_COLUMN in str(error) else Fault.damaged
        yield _refused(str(path), str(error).splitlines()[0].removeprefix(f"{path} "), fault)
    else:
        if empty:
            yield _refused(str(path), NO_PHOTOS, Fault.empty)


def _in_table(path: Path) -> Iterator[_Given]:
    for number, encoded in enumerate(read_images(path)):
        name = f"{path}#{number}"
        if encoded is None:
            yield _refused(name, "its row holds no bytes", Fault.empty)
        else:
            yield _Given(name, partial(bytes, encoded))


def _in_archive(path: Path, limits: Limits) -> Iterator[_Given]:
    for member in read_members(path, limits.file_bytes):
        name = f"{path}#{member.name}"
        if member.problem or member.skipped:
            yield _refused(name, member.problem or not_named_as_a_photo(member.name), member.fault, member.skipped)
        else:
            yield _Given(name, partial(bytes, member.encoded))


def _refused(name: str, reason: str, fault: Fault, skipped: bool = False) -> _Given:
    def refuse() -> bytes:
        raise NotUsable(reason, fault)

    return _Given(name, refuse, skipped)


def look(given: _Given, limits: Limits = LIMITS) -> Looked:
    """Read and check one photo; re-encode it if TensorFlow can't decode it."""
    try:
        return Looked(given.name, usable_bytes(given.read(), limits))
    except FileNotFoundError as error:
        return Looked(given.name, reason=f"can't be read: {error.strerror}", fault=Fault.missing)
    except OSError as error:
        return Looked(given.name, reason=f"can't be read: {error.strerror}", fault=Fault.unreadable)
    except ValueError as error:
        fault = Fault.too_large if isinstance(error, TooLarge) else Fault.unreadable
        return Looked(given.name, reason=f"can't be read: {with_settings_of('classify', str(error))}", fault=fault)
    except NotUsable as error:
        reason = with_settings_of("classify", str(error))
        return Looked(given.name, reason=reason, fault=error.fault, skipped=given.skipped)


def with_settings_of(stage: str, reason: str) -> str:
    """Return a reason in which the limits, which the checks name as settings of ingest, are settings of a stage."""
    return reason.replace("ingest.max_", f"{stage}.max_")
