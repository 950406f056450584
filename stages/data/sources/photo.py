"""What every source yields: a labelled photo, and where its bytes lie."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

EXTENSIONS = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".avif")
WHOLE = -1
"""As a photo's `size`: everything from its offset to the end of its file."""


class Photo(NamedTuple):
    """A photo by its name inside the source, the class it is said to show, and the file and range of its bytes.

    `split` and `group` are what the source states, or empty. `problem` says why it can't be used, where that is known
    from listing alone; `skipped` is true of what was never meant as a photo, such as a text file among them.
    """

    path: str
    label: str
    file: str = ""
    offset: int = 0
    size: int = WHOLE
    split: str = ""
    group: str = ""
    problem: str = ""
    skipped: bool = False


class Columns(Protocol):
    """What a manifest's columns are called."""

    path: str
    label: str
    split: str
    group: str
    image: str


class Spool:
    """A file that takes the bytes of photos that lie nowhere as they are: compressed, or inside a table."""

    def __init__(self, path: Path) -> None:
        """Start the file anew."""
        self.path = path
        self._file = path.open("wb", buffering=0)
        self._end = 0

    def add(self, photo: Photo, encoded: bytes) -> Photo:
        """Append a photo's bytes and return the photo with their place."""
        self._file.write(encoded)
        placed = photo._replace(file=str(self.path), offset=self._end, size=len(encoded))
        self._end += len(encoded)
        return placed

    def close(self) -> None:
        """Close the file; what it holds stays."""
        self._file.close()


class Listing(NamedTuple):
    """What a source is asked for: where it lies, what its columns are called, and where spooled bytes go.

    Without a `spool` the photos are listed, but their bytes need not have a place. `most_bytes` bounds one photo's.
    `pass_over` is called with the kind of thing that is passed over without a row: hidden files, a system's own.
    """

    root: Path
    columns: Columns
    spool: Spool | None = None
    most_bytes: int = 1 << 28
    pass_over: Callable[[str], None] = lambda what: None


def read_bytes(file: str, offset: int = 0, size: int = WHOLE, most_bytes: int | None = None) -> bytes:
    """Read a photo's bytes.

    Raises:
        OSError: the file can't be read.
        ValueError: there are more than `most_bytes`, or fewer than `size`.
    """
    descriptor = os.open(file, os.O_RDONLY)
    try:
        wanted = os.fstat(descriptor).st_size - offset if size == WHOLE else size
        if most_bytes is not None and wanted > most_bytes:
            raise ValueError(f"{wanted / 1e6:,.0f} MB are more than ingest.max_file_mb allows")
        encoded = os.pread(descriptor, wanted, offset)
        if len(encoded) < wanted:  # a signal, or more than 2 GB
            encoded += b"".join(iter(lambda: os.pread(descriptor, wanted - len(encoded), offset + len(encoded)), b""))
    finally:
        os.close(descriptor)
    if size != WHOLE and len(encoded) < size:
        raise ValueError(f"its file ends after {len(encoded):,} of {size:,} bytes")
    return encoded


ListPhotos = Callable[[Listing], Iterator[Photo]]
