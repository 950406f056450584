"""An archive of class folders: zip, tar, and tar compressed by gzip, bzip2 or xz. Nothing is ever unpacked by name."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pipeline.errors import UserError
from stages.data.archives import fault_of_member
from stages.data.sources.layout import Layout, is_photo_name, is_systems_own
from stages.data.sources.photo import Listing, Photo

COMPRESSIONS: dict[bytes, Callable[[Path], Any]] = {
    b"\x1f\x8b": gzip.GzipFile,
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ": lzma.LZMAFile,
}
LOCAL_HEADER_BYTES = 30
DAMAGE = (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError)


def is_compressed(path: Path) -> bool:
    """Say whether listing an archive takes unpacking it."""
    return _decompressor(path) is not None


def list_archive(asked: Listing) -> Iterator[Photo]:
    """List the photos in an archive; a folder that holds everything else is passed over in the classes' names.

    Raises:
        UserError: it is no whole archive.
    """
    try:
        if zipfile.is_zipfile(asked.root):
            yield from _list_zip(asked)
        elif (decompressor := _decompressor(asked.root)) is not None:
            yield from _list_compressed(asked, decompressor)
        else:
            yield from _list_tar(asked, asked.root)
    except (*DAMAGE, OSError) as error:
        raise UserError(
            f"{asked.root} can't be unpacked: {error}.", "Give a whole archive: zip, tar, tar.gz."
        ) from error


def _decompressor(path: Path) -> Callable[[Path], Any] | None:
    with path.open("rb") as file:
        start = file.read(6)
    return next((opened for magic, opened in COMPRESSIONS.items() if start.startswith(magic)), None)


def _list_compressed(asked: Listing, decompressor: Callable[[Path], Any]) -> Iterator[Photo]:
    """Unpack the tar itself beside the spool; its members are read from there."""
    if asked.spool is None:
        raise ValueError("a compressed tar can only be listed where it can be unpacked")
    plain = asked.spool.path.with_suffix(".tar")
    with decompressor(asked.root) as packed, plain.open("wb") as unpacked:
        shutil.copyfileobj(packed, unpacked, 1 << 20)
    yield from _list_tar(asked, plain)


def _list_tar(asked: Listing, path: Path) -> Iterator[Photo]:
    layout = Layout.of(
        (parts for member in _members(path) if (parts := _parts(member.name)) and _is_wanted(parts, member.isreg())),
        strip=True,
    )
    for member in _members(path):
        parts = _parts(member.name)
        if member.isdir() or not parts:
            continue
        if _is_hidden(parts) or is_systems_own(parts):
            asked.pass_over("hidden" if _is_hidden(parts) else "system")
            continue
        photo = layout.photo(Photo(member.name, "", str(path), member.offset_data, member.size), parts)
        fault = fault_of_member(member)
        yield photo._replace(problem=fault.removeprefix("holds "), skipped=False) if fault else photo


def _members(path: Path) -> Iterator[tarfile.TarInfo]:
    """Yield a tar's members, keeping none of them."""
    with tarfile.open(path, "r:", errors="surrogateescape") as archive:
        while (member := archive.next()) is not None:
            archive.members.clear()  # type: ignore[attr-defined]
            yield member


def _list_zip(asked: Listing) -> Iterator[Photo]:
    with zipfile.ZipFile(asked.root) as archive:
        entries = archive.infolist()
        layout = Layout.of(
            (parts for entry in entries if (parts := _parts(entry.filename)) and _is_wanted(parts, not entry.is_dir())),
            strip=True,
        )
        for entry in entries:
            parts = _parts(entry.filename)
            if entry.is_dir() or not parts:
                continue
            if _is_hidden(parts) or is_systems_own(parts):
                asked.pass_over("hidden" if _is_hidden(parts) else "system")
                continue
            photo = layout.photo(Photo(entry.filename, ""), parts)
            yield photo if photo.skipped or asked.spool is None else _unzipped(asked, archive, entry, photo)


def _unzipped(asked: Listing, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, photo: Photo) -> Photo:
    if asked.spool is None or entry.file_size > asked.most_bytes:
        return photo._replace(problem=f"{entry.file_size / 1e6:,.0f} MB are more than ingest.max_file_mb allows")
    try:
        with archive.open(entry) as file:
            return asked.spool.add(photo, file.read())
    except (RuntimeError, NotImplementedError) as error:  # encrypted; a compression that Python has not
        return photo._replace(problem=f"can't be unpacked: {error}")
    except DAMAGE as error:
        return photo._replace(problem=f"damaged inside the archive: {error}")


def _parts(name: str) -> list[str]:
    return [part for part in name.split("/") if part not in ("", ".")]


def _is_hidden(parts: list[str]) -> bool:
    return any(part.startswith(".") and part != ".." for part in parts)


def _is_wanted(parts: list[str], is_file: bool) -> bool:
    return is_file and is_photo_name(parts[-1]) and not _is_hidden(parts) and not is_systems_own(parts)
