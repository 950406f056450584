"""Photos as sources yield them: a label, and the place of the bytes."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import NamedTuple, Protocol

from slimline.stages.images.faults import Fault

EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".dib", ".webp", ".tif", ".tiff"),
    *(".avif", ".avifs", ".heic", ".heics", ".heif", ".heifs", ".hif"),
)
"""The extensions of photos, in lower case."""

MAGIC_BYTES = 12
WHOLE = -1
"""As a photo's `size`: all bytes from its offset to the end of its file."""


class Photo(NamedTuple):
    """A photo: its name inside the source, its label, and the file and range of its bytes.

    `split` and `group` are what the source states, or empty; `details` are other columns of its row, as JSON. `problem`
    says why it can't be used, if the listing shows that, and `fault` which kind of reason it is. `skipped` is true for
    files that are not meant as photos, such as a text file among them.
    """

    path: str
    label: str
    file: str = ""
    offset: int = 0
    size: int = WHOLE
    split: str = ""
    group: str = ""
    problem: str = ""
    fault: Fault = Fault.unreadable
    skipped: bool = False
    details: str = ""


class ClassFolder(Enum):
    """Which folders are the classes, where folders hold folders: `auto` decides by their names."""

    auto = "auto"
    outer = "outer"
    inner = "inner"


class Columns(Protocol):
    """Names of a manifest's columns."""

    path: str
    label: str
    split: str
    group: str
    image: str
    keep: list[str]


class Spool:
    """A file for the bytes of photos that have no file of their own: compressed photos, or photos inside a table."""

    def __init__(self, path: Path) -> None:
        """Create the file, empty."""
        self.path = path
        self._file = path.open("wb", buffering=0)
        self._end = 0

    def add(self, photo: Photo, encoded: bytes) -> Photo:
        """Append a photo's bytes and return the photo with their place."""
        left = memoryview(encoded)
        while left:  # a disk that is nearly full takes a part, and raises an error for the rest
            left = left[self._file.write(left) :]
        placed = photo._replace(file=str(self.path), offset=self._end, size=len(encoded))
        self._end += len(encoded)
        return placed

    def close(self) -> None:
        """Close the file, without removing it."""
        self._file.close()


class Listing(NamedTuple):
    """A request to list a source: its path, the names of its columns, and the spool for photos' bytes.

    Without a `spool`, the photos are listed, but their bytes need not have a place. `most_bytes` limits the size of one
    photo. `pass_over` is called with the kind of each file that gets no row: "hidden" or "system". `class_folder` says
    which folders are the classes.
    """

    root: Path
    columns: Columns
    spool: Spool | None = None
    most_bytes: int = 1 << 28
    pass_over: Callable[[str], None] = lambda what: None
    class_folder: ClassFolder = ClassFolder.auto

    def placed(self, photo: Photo, encoded: bytes) -> Photo:
        """Return a photo with its bytes' place in the spool, if there is one, or with why they are not stored."""
        if self.spool is None:
            return photo
        if len(encoded) > self.most_bytes:
            return photo._replace(problem=too_large(len(encoded)), fault=Fault.too_large)
        return self.spool.add(photo, encoded)


def setting(name: str, value: object) -> str:
    """Return a setting as it can be pasted into a shell: bash or zsh."""
    return shlex.quote(f"{name}={value}")


def looks_like_a_photo(start: bytes) -> bool:
    """Return whether a file is an image, by its first MAGIC_BYTES.

    A text may begin with the two letters of a bitmap, so a bitmap's reserved bytes must be zero too.
    """
    from slimline.stages.images.files import sniff

    return sniff(start) is not None and (not start.startswith(b"BM") or start[6:10] == bytes(4))


def too_large(size_bytes: int) -> str:
    """Return the reason why a photo of this size is not read."""
    return f"{size_bytes / 1e6:,.1f} MB are more than ingest.max_file_mb allows"


class TooLarge(ValueError):
    """A photo has more bytes than allowed."""


def read_bytes(file: str | bytes, offset: int = 0, size: int = WHOLE, most_bytes: int | None = None) -> bytes:
    """Read a photo's bytes.

    Raises:
        OSError: the file can't be read.
        ValueError: it is not a file, or there are fewer bytes than `size`.
        TooLarge: there are more bytes than `most_bytes`.
    """
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK)  # otherwise opening a pipe waits for a writer
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is not a file, but a folder, a pipe or a device")
        wanted = status.st_size - offset if size == WHOLE else size
        if most_bytes is not None and wanted > most_bytes:
            raise TooLarge(too_large(wanted))
        encoded = os.pread(descriptor, wanted, offset)
        while len(encoded) < wanted and (more := os.pread(descriptor, wanted - len(encoded), offset + len(encoded))):
            encoded += more  # a call may read a part only: after a signal, or at 2 GB
    finally:
        os.close(descriptor)
    if size != WHOLE and len(encoded) < size:
        raise ValueError(f"its file ends after {len(encoded):,} of {size:,} bytes")
    return encoded


ListPhotos = Callable[[Listing], Iterator[Photo]]
