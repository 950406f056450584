"""The kinds of sources in Slimline; plug-ins add more, which are identified by their names."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path

GZIP, BZIP2, XZ = b"\x1f\x8b", b"BZh", b"\xfd7zXZ"
"""First bytes of compressed files."""

RECORDS = re.compile(r"\.(tfrecords?|tfrec|record)(\.gz)?$|-\d{5}-of-\d{5}(\.gz)?$")


class SourceKind(StrEnum):
    """Kind of source at `ingest.images`; `auto` detects one of these."""

    auto = "auto"
    folder = "folder"
    manifest = "manifest"
    parquet = "parquet"
    archive = "archive"
    tfrecord = "tfrecord"
    tfds = "tfds"


def is_record_name(name: str) -> bool:
    """Return whether a file's name is that of a TFRecord file."""
    return RECORDS.search(name.lower()) is not None


def compression(path: Path) -> bytes | None:
    """Return a compressed file's first bytes, one of `GZIP`, `BZIP2` and `XZ`, or None for any other file."""
    with path.open("rb") as file:
        start = file.read(6)
    return next((magic for magic in (GZIP, BZIP2, XZ) if start.startswith(magic)), None)


def lists_quickly(kind: str, path: Path) -> bool:
    """Return whether a source's photos can be listed without reading the photos; False for plug-ins' sources."""
    if kind == SourceKind.archive:
        return compression(path) is None
    return kind in (SourceKind.folder, SourceKind.manifest, SourceKind.parquet)
