"""The kinds of sources that Slimline has; plug-ins bring more, which are named by text."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path

GZIP, BZIP2, XZ = b"\x1f\x8b", b"BZh", b"\xfd7zXZ"
"""How a compressed file begins."""

RECORDS = re.compile(r"\.(tfrecords?|tfrec|record)(\.gz)?$|-\d{5}-of-\d{5}(\.gz)?$")


class SourceKind(StrEnum):
    """What is at `ingest.images`; `auto` looks, for these alone."""

    auto = "auto"
    folder = "folder"
    manifest = "manifest"
    parquet = "parquet"
    archive = "archive"
    tfrecord = "tfrecord"
    tfds = "tfds"


def is_record_name(name: str) -> bool:
    """Say whether a file is named as TFRecords are."""
    return RECORDS.search(name.lower()) is not None


def compression(path: Path) -> bytes | None:
    """Return how a compressed file begins, one of `GZIP`, `BZIP2` and `XZ`, or None for any other file."""
    with path.open("rb") as file:
        start = file.read(6)
    return next((magic for magic in (GZIP, BZIP2, XZ) if start.startswith(magic)), None)


def lists_quickly(kind: str, path: Path) -> bool:
    """Say whether listing a source's photos takes no reading of the photos themselves; of a plug-in it isn't known."""
    if kind == SourceKind.archive:
        return compression(path) is None
    return kind in (SourceKind.folder, SourceKind.manifest, SourceKind.parquet)
