"""Photos inside an archive, one after the other, whatever folders they are in: `classify` needs no class folders."""

from __future__ import annotations

import stat
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from slimline.pipeline.errors import UserError
from slimline.stages.data.sources.archive import (
    A_LINK,
    CANNOT,
    DAMAGE,
    OUTSIDE,
    decompressor_of,
    fault_of_kind,
    leads_outside,
    parts_of,
    zip_name,
)
from slimline.stages.data.sources.layout import is_photo_name, is_wanted
from slimline.stages.data.sources.photo import MAGIC_BYTES, looks_like_a_photo, too_large
from slimline.stages.images.faults import Fault


class Member(NamedTuple):
    """A file in an archive: its name and its bytes, or why these are not given; `skipped`: it is not a photo."""

    name: str
    encoded: bytes = b""
    problem: str = ""
    fault: Fault = Fault.unreadable
    skipped: bool = False


def read_members(path: Path, most_bytes: int) -> Iterator[Member]:
    """Read the files in an archive: zip, tar, tar.gz, tar.bz2 or tar.xz. Hidden and system files are left out.

    Raises:
        UserError: it is not a complete archive; members before the damage have been yielded.
    """
    try:
        # A tar is tested for first: its last member may be a zip.
        is_tar = decompressor_of(path) is not None or tarfile.is_tarfile(path)
        yield from _tar_members(path, most_bytes) if is_tar else _zip_members(path, most_bytes)
    except (*DAMAGE, OSError, NotImplementedError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path} can't be unpacked: {error}.", "Use a complete archive: zip, tar, tar.gz, tar.bz2, tar.xz."
        ) from error


def count_members(path: Path) -> int | None:
    """Return how many photos a zip's directory lists by their names; None for a damaged one or another archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            return sum(is_photo_name(entry.filename) for entry in archive.infolist())
    except (*DAMAGE, OSError, NotImplementedError):
        return None


def _zip_members(path: Path, most_bytes: int) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            name = zip_name(entry)
            if entry.is_dir() or not is_wanted(parts_of(name)):
                continue
            is_link = stat.S_ISLNK(entry.external_attr >> 16)
            if problem := OUTSIDE if leads_outside(name) else A_LINK if is_link else "":
                yield Member(name, problem=problem)
            elif entry.file_size > most_bytes:
                yield _too_large(name, entry.file_size)
            else:
                yield _unzipped(archive, entry, name)


def _unzipped(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str) -> Member:
    try:
        with archive.open(entry) as file:
            start = file.read(MAGIC_BYTES)
            if _is_skipped(name, start):
                return Member(name, skipped=True)
            return Member(name, start + file.read())
    except CANNOT as error:
        return Member(name, problem=f"can't be unpacked: {error}")
    except DAMAGE as error:
        return Member(name, problem=f"damaged inside the archive: {error}", fault=Fault.damaged)


def _tar_members(path: Path, most_bytes: int) -> Iterator[Member]:
    with (decompressor_of(path) or Path.open)(path, "rb") as opened:
        file = _LastRead(opened)
        with tarfile.open(fileobj=file, mode="r:", errors="surrogateescape") as archive:  # type: ignore[call-overload]
            while (member := archive.next()) is not None:
                archive.members.clear()
                if not member.isdir() and is_wanted(parts_of(member.name)):
                    yield _member(archive, member, most_bytes)
            # Python's reader takes any block that is not a header for the end, which is a block of zeros.
            if len(file.last) < tarfile.BLOCKSIZE or file.last.strip(b"\0"):
                raise tarfile.ReadError(f"it is truncated or damaged at byte {archive.offset:,}")


class _LastRead:
    """A file that keeps the bytes that were read last; a compressed file cannot seek back without reading it again."""

    def __init__(self, file: Any) -> None:
        self._file, self.last = file, b""

    def read(self, size: int = -1) -> bytes:
        self.last = self._file.read(size)
        return self.last

    def seek(self, position: int) -> int:
        return int(self._file.seek(position))

    def tell(self) -> int:
        return int(self._file.tell())


def _member(archive: tarfile.TarFile, member: tarfile.TarInfo, most_bytes: int) -> Member:
    if leads_outside(member.name):
        return Member(member.name, problem=OUTSIDE)
    if problem := fault_of_kind(member):
        return Member(member.name, problem=problem)
    if member.size > most_bytes:
        return _too_large(member.name, member.size)
    return _untarred(archive, member)


def _untarred(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Member:
    file = archive.extractfile(member)
    assert file is not None  # it is one for a regular member
    start = file.read(MAGIC_BYTES)
    if _is_skipped(member.name, start):
        return Member(member.name, skipped=True)
    return Member(member.name, start + file.read())


def _too_large(name: str, size_bytes: int) -> Member:
    skipped = not is_photo_name(name)
    return Member(name, problem=too_large(size_bytes), fault=Fault.too_large, skipped=skipped)


def _is_skipped(name: str, start: bytes) -> bool:
    return not is_photo_name(name) and not looks_like_a_photo(start)
