"""Tiny pictures, all different, and sources made of them."""

from __future__ import annotations

import functools
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from slimline.pipeline.content import ContentDigests
from slimline.pipeline.keys import tracked
from slimline.stages.data.config import ColumnsConfig, IngestConfig
from slimline.stages.data.settle import settle_source
from slimline.stages.data.sources.detection import kind_at
from slimline.stages.data.sources.kinds import SourceKind
from slimline.stages.data.sources.photo import Listing, Photo, Spool, read_bytes
from slimline.stages.data.sources.table import SOURCES
from slimline.stages.ingest import ingest

MODES = {"tar": "w", "tar.gz": "w:gz", "tar.bz2": "w:bz2", "tar.xz": "w:xz"}
CLASSES = ("ant", "bee")
GIVEN = ("train",) * 8 + ("validation",) * 2 + ("test",) * 2
"""The splits of a class's twelve photos, in a source that states splits."""


@functools.cache
def picture(seed: int, kind: str = "JPEG") -> bytes:
    """Encode 24 x 32 random pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def photos() -> list[tuple[str, str, int, bytes]]:
    """Make 24 photos: the label, the split, the number inside the class, the bytes."""
    return [
        (label, GIVEN[number], number, picture(100 * index + number))
        for index, label in enumerate(CLASSES)
        for number in range(len(GIVEN))
    ]


def write(root: Path, files: Mapping[str, bytes]) -> Path:
    """Write files below a folder."""
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def class_files(split: bool = False, prefix: str = "") -> dict[str, bytes]:
    """Return 24 photos by path: one folder per class and, with `split`, one folder per split."""
    return {
        f"{prefix}{f'{given}/' if split else ''}{label}/{number}.jpg": encoded
        for label, given, number, encoded in photos()
    }


def listing(root: Path, spool: Spool | None = None, **settings: Any) -> list[Photo]:
    """List a source, of the kind that is detected unless one is given."""
    columns = settings.pop("columns", ColumnsConfig())
    kind = settings.pop("kind", None) or kind_at(root, columns)
    return list(SOURCES[kind](Listing(root, columns, spool, **settings)))


def spooled(root: Path, tmp_path: Path, **settings: Any) -> list[Photo]:
    """List a source with its photos' bytes in a spool."""
    spool = Spool(tmp_path / "spool.bin")
    try:
        return listing(root, spool, **settings)
    finally:
        spool.close()


def content(photo: Photo) -> bytes:
    """Read a listed photo's bytes."""
    return read_bytes(photo.file, photo.offset, photo.size)


def labels(found: Iterable[Photo]) -> dict[str, str]:
    """Return the listed photos' labels by their names, of those that can be used."""
    return {photo.path: photo.label for photo in found if not photo.problem}


def problems(found: Iterable[Photo]) -> dict[str, tuple[str, bool]]:
    """Return the problems of listed photos, and whether they are only skipped, by their names."""
    return {photo.path: (photo.problem, photo.skipped) for photo in found if photo.problem}


def run(images: Path | str, out: Path, **settings: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Ingest a source; return the facts and the index's rows."""
    out.mkdir()
    facts = ingest(settle_source(IngestConfig(images=str(images), seed=0, **settings), False), out)
    return facts, pq.read_table(out / "index.parquet").to_pylist()


def check_rows(rows: list[dict[str, Any]], kind: str = "given") -> None:
    """Check that each of the 24 photos has a row with its bytes, its label, and the split that was given."""
    by_content = {row["sha256"]: row for row in rows}
    assert len(rows) == len(by_content) == 24
    for label, split, _, encoded in photos():
        row = by_content[hashlib.sha256(encoded).hexdigest()]
        assert (row["label"], row["outcome"]) == (label, "used")
        if kind == "given":
            assert (row["split"], row["provisional"]) == (split, False)
    assert {row["split"] for row in rows} == {"train", "validation", "test"}


def key_of(images: Path | str, memory: Path, **settings: Any) -> Any:
    """Return the part of a config, settled as before a run, that enters the stage's key."""
    config = settle_source(IngestConfig(images=str(images), seed=0, **settings), False)
    return tracked(config, ContentDigests(memory))


def kind_of(root: Path) -> SourceKind:
    """Return the kind of source that is detected."""
    return kind_at(root, ColumnsConfig())


def pack(path: Path, files: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    """Write an archive of the kind that the path's extension states."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", compression) as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return path
    with tarfile.open(path, MODES[path.name.partition(".")[2]]) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path
