"""Photos for a network, each checked first: its bytes if it can be used, else the reason why not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from slimline.stages.data.checking.checks import Limits, usable_bytes
from slimline.stages.data.sources.parquet import count_images, read_images
from slimline.stages.data.sources.photo import read_bytes
from slimline.stages.images.files import NotUsable
from slimline.stages.images.parallel import in_parallel

PARQUET = ".parquet"
LIMITS = Limits(pixels=100_000_000, frames=100, file_bytes=256_000_000)
"""Limits of one photo: ingest's defaults."""


class Looked(NamedTuple):
    """A photo that was checked: its name, and its bytes or the reason why it can't be used."""

    name: str
    encoded: bytes = b""
    reason: str = ""


def usable_photos(paths: Iterable[Path], limits: Limits = LIMITS) -> Iterator[Looked]:
    """Yield photos, also those inside Parquet files, read and checked in order, on all cores, a few in advance."""
    return in_parallel(lambda photo: look(*photo, limits), _photos(paths, limits), 0)


def count_photos(paths: Iterable[Path]) -> int:
    """Return how many photos `usable_photos` would yield."""
    return sum(count_images(path) if path.suffix.lower() == PARQUET else 1 for path in paths)


def _photos(paths: Iterable[Path], limits: Limits) -> Iterator[tuple[str, Callable[[], bytes]]]:
    for path in paths:
        if path.suffix.lower() == PARQUET:
            for number, encoded in enumerate(read_images(path)):
                yield f"{path}#{number}", partial(_given, encoded)
        else:
            yield str(path), partial(read_bytes, str(path), most_bytes=limits.file_bytes)


def _given(encoded: bytes | None) -> bytes:
    if encoded is None:
        raise ValueError("its row holds no bytes")
    return encoded


def look(name: str, read: Callable[[], bytes], limits: Limits = LIMITS) -> Looked:
    """Read and check one photo; re-encode it if TensorFlow can't decode it."""
    try:
        return Looked(name, usable_bytes(read(), limits))
    except OSError as error:
        return Looked(name, reason=f"it can't be read: {error.strerror}")
    except (ValueError, NotUsable) as error:
        return Looked(name, reason=str(error))
