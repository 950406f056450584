"""Checks: one look at each photo, which proves that it can be used or says why not."""

from __future__ import annotations

import hashlib
import os
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

from stages.data.sources import LabelledPhoto, Source
from stages.progress import progress

WINDOW = 256
INTERNALS = re.compile(r"\{\{.*?\}\} | \[Op:.*")
T = TypeVar("T")


class Checked(NamedTuple):
    """What one look at a photo found; `reason` says why it can't be used, and is empty where it can."""

    photo: LabelledPhoto
    sha256: str
    height: int
    width: int
    size_bytes: int
    reason: str


def in_parallel(work: Callable[[T], Any], items: Sequence[T], threads: int) -> Iterator[Any]:
    """Map over items with threads, in order, at most a window ahead."""
    with ThreadPoolExecutor(threads or os.cpu_count()) as executor:
        waiting = deque(executor.submit(work, item) for item in items[:WINDOW])
        for item in items[WINDOW:]:
            yield waiting.popleft().result()
            waiting.append(executor.submit(work, item))
        while waiting:
            yield waiting.popleft().result()


def check_photos(source: Source, threads: int) -> list[Checked]:
    """Read, hash and decode every photo once."""
    with progress("checking photos", len(source.photos), "photos") as advance:
        checked = []
        for row in in_parallel(lambda photo: check_photo(photo, source.read), source.photos, threads):
            checked.append(row)
            advance()
    return checked


def check_photo(photo: LabelledPhoto, read: Callable[[str], bytes]) -> Checked:
    """Read, hash and decode one photo."""
    from stages.data.records import decoded_size
    from stages.tensorflow import tf

    try:
        encoded = read(photo.path)
    except OSError as error:
        return Checked(photo, "", 0, 0, 0, f"can't be read: {error.strerror}")
    sha256 = hashlib.sha256(encoded).hexdigest()
    try:
        height, width = decoded_size(encoded)
    except tf.errors.InvalidArgumentError as error:
        first_line = INTERNALS.sub("", error.message.splitlines()[0]) if encoded else "the file is empty"
        return Checked(photo, sha256, 0, 0, len(encoded), f"can't be decoded: {first_line}")
    return Checked(photo, sha256, height, width, len(encoded), "")
