"""Archives of class folders: zip, tar, and tar compressed by gzip, bzip2 or xz. No member's name becomes a path."""

from __future__ import annotations

import bz2
import contextlib
import errno
import gzip
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from slimline.pipeline.errors import UserError
from slimline.stages.data.sources.kinds import BZIP2, GZIP, XZ, compression
from slimline.stages.data.sources.layout import Layout, is_hidden, is_wanted
from slimline.stages.data.sources.photo import MAGIC_BYTES, Listing, Photo, looks_like_a_photo, read_bytes, too_large
from slimline.stages.images.faults import Fault

COMPRESSIONS: dict[bytes, Callable[[Path], Any]] = {GZIP: gzip.GzipFile, BZIP2: bz2.BZ2File, XZ: lzma.LZMAFile}
DOS = 0
UTF8_FLAG = 0x800
DAMAGE = (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError)
CANNOT = (RuntimeError, NotImplementedError)
"""Errors of zipfile for a member that is encrypted, or compressed by a method that Python doesn't support."""

OUTSIDE = "its name points outside the archive"
A_LINK = "a link: links in archives are not followed"


def list_archive(asked: Listing) -> Iterator[Photo]:
    """List the photos in an archive; top folders that hold everything else are not classes.

    Raises:
        UserError: it is not a complete archive.
    """
    try:
        if (decompressor := decompressor_of(asked.root)) is not None:
            yield from _list_compressed(asked, decompressor)
        elif tarfile.is_tarfile(asked.root):  # tested before zip: the last member of a tar may be a zip
            yield from _list_tar(asked, asked.root)
        else:
            yield from _list_zip(asked)
    except (*DAMAGE, OSError, NotImplementedError, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise  # the disk that the photos are written to is full
        raise UserError(
            f"{asked.root} can't be unpacked: {error}.", "Use a complete archive: zip, tar, tar.gz, tar.bz2, tar.xz."
        ) from error


def decompressor_of(path: Path) -> Callable[..., Any] | None:
    """Return what opens a compressed file for reading; None for any other file."""
    magic = compression(path)
    return None if magic is None else COMPRESSIONS[magic]


def _list_compressed(asked: Listing, decompressor: Callable[[Path], Any]) -> Iterator[Photo]:
    """Unpack the tar itself next to the spool, and read its members from there."""
    if asked.spool is None:
        raise ValueError("a compressed tar can only be listed where it can be unpacked")
    plain = asked.spool.path.with_suffix(".tar")
    with decompressor(asked.root) as packed, plain.open("wb") as unpacked:
        shutil.copyfileobj(packed, unpacked, 1 << 20)
    yield from _list_tar(asked, plain)


def _list_tar(asked: Listing, path: Path) -> Iterator[Photo]:
    names = (member.name for member in _members(path) if member.isreg() and not leads_outside(member.name))
    layout = Layout.of(
        (parts for name in names if is_wanted(parts := parts_of(name))), strip=True, classes=asked.class_folder
    )
    for member in _members(path):
        if member.isdir() or _is_passed_over(asked, member.name):
            continue
        photo = Photo(member.name, "", str(path), member.offset_data, member.size)
        fault = OUTSIDE if leads_outside(member.name) else fault_of_kind(member)
        photo = _laid_out(layout, photo, fault)
        if not fault and photo.skipped and photo.label and _starts_as_a_photo(photo):
            photo = photo._replace(skipped=False, problem="")
        yield photo


def fault_of_kind(member: tarfile.TarInfo) -> str:
    """Return why a member of a tar is not read, because it is not a regular file; an empty text if it is one."""
    if member.issym() or member.islnk():
        return A_LINK
    if member.issparse():
        return "a sparse file, which is stored with gaps"
    return "" if member.isreg() else "not a file, but a pipe or a device"


def _starts_as_a_photo(photo: Photo) -> bool:
    return photo.size >= MAGIC_BYTES and looks_like_a_photo(read_bytes(photo.file, photo.offset, MAGIC_BYTES))


def _members(path: Path) -> Iterator[tarfile.TarInfo]:
    """Yield a tar's members, without keeping them in memory.

    Raises:
        TarError: it doesn't end as a tar does. (Python's reader takes any block that is not a header for the end.)
    """
    with tarfile.open(path, "r:", errors="surrogateescape") as archive:
        while (member := archive.next()) is not None:
            archive.members.clear()  # type: ignore[attr-defined]
            yield member
        end = archive.offset
    with path.open("rb") as file:
        file.seek(end)
        block = file.read(tarfile.BLOCKSIZE)
    if len(block) < tarfile.BLOCKSIZE or block.strip(b"\0"):
        raise tarfile.ReadError(f"it is truncated or damaged at byte {end:,}")


def _list_zip(asked: Listing) -> Iterator[Photo]:
    with zipfile.ZipFile(asked.root) as archive:
        entries = [(entry, zip_name(entry)) for entry in archive.infolist() if not entry.is_dir()]
        names = (name for _, name in entries if not leads_outside(name))
        layout = Layout.of(
            (parts for name in names if is_wanted(parts := parts_of(name))), strip=True, classes=asked.class_folder
        )
        for entry, name in entries:
            if _is_passed_over(asked, name):
                continue
            is_link = stat.S_ISLNK(entry.external_attr >> 16)
            fault = OUTSIDE if leads_outside(name) else A_LINK if is_link else ""
            photo = _laid_out(layout, Photo(name, ""), fault)
            if not fault and photo.skipped and photo.label and _unzips_to_a_photo(archive, entry):
                photo = photo._replace(skipped=False, problem="")
            yield photo if photo.problem or asked.spool is None else _unzipped(asked, archive, entry, photo)


def zip_name(entry: zipfile.ZipInfo) -> str:
    """Return a member's name with slashes; old programs for DOS and Windows wrote backslashes.

    Python decodes a name without the UTF-8 flag as cp437, but macOS writes UTF-8 without the flag.
    """
    name = entry.filename
    if not entry.flag_bits & UTF8_FLAG:
        with contextlib.suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return name.replace("\\", "/") if entry.create_system == DOS else name


def _unzips_to_a_photo(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bool:
    try:
        with archive.open(entry) as file:
            return looks_like_a_photo(file.read(MAGIC_BYTES))
    except (*CANNOT, *DAMAGE):
        return False


def _unzipped(asked: Listing, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, photo: Photo) -> Photo:
    if asked.spool is None or entry.file_size > asked.most_bytes:
        return photo._replace(problem=too_large(entry.file_size), fault=Fault.too_large)
    try:
        with archive.open(entry) as file:
            encoded = file.read()
    except CANNOT as error:
        return photo._replace(problem=f"can't be unpacked: {error}")
    except DAMAGE as error:
        return photo._replace(problem=f"damaged inside the archive: {error}", fault=Fault.damaged)
    return asked.spool.add(photo, encoded)


def _laid_out(layout: Layout, photo: Photo, fault: str) -> Photo:
    """Return a member's photo with its label and split, or with the reason why it can't be used."""
    if fault == OUTSIDE:
        return photo._replace(problem=fault)
    photo = layout.photo(photo, parts_of(photo.path))
    return photo._replace(problem=fault, fault=Fault.unreadable, skipped=False) if fault else photo


def _is_passed_over(asked: Listing, name: str) -> bool:
    parts = parts_of(name)
    if parts and not is_wanted(parts):
        asked.pass_over("hidden" if is_hidden(parts) else "system")
    return not is_wanted(parts)


def parts_of(name: str) -> list[str]:
    """Split a member's name into its folders and its own name."""
    return [part for part in name.split("/") if part not in ("", ".")]


def leads_outside(name: str) -> bool:
    """Return whether a member's name points to a place outside the archive."""
    return name.startswith("/") or ".." in name.split("/")
