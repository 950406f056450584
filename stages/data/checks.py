"""Checks: one look at each photo, which proves that it can be used or says why not."""

from __future__ import annotations

import hashlib
import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import islice
from pathlib import PurePosixPath
from typing import Any, NamedTuple, TypeVar

import numpy as np

from stages.data.formats import (
    LOSSY,
    NATIVE,
    Header,
    NotUsable,
    decode,
    encode,
    read_header,
    scaled_down,
)
from stages.data.sources.photo import Photo, read_bytes
from stages.data.twins import perceptual_hash
from stages.tensorflow import tf

WINDOW = 16
MOST_GROUP_BYTES = 16_000_000
THUMBNAIL_PX = 16
"""A JPEG is decoded at the smallest size that leaves its shorter side this long."""

MOST_DIFFERENCE = 6.0
"""How far apart two decoders' pixels may be, on average, of 255: rounding is below 1, wrong colours are above 10."""

INTERNALS = re.compile(r"\{\{.*?\}\} | \[Op:.*")
T = TypeVar("T")


class Limits(NamedTuple):
    """What a photo may be at most, and the shorter side in pixels that it is scaled down to (None: as it is)."""

    pixels: int
    frames: int
    file_bytes: int
    store_px: int | None = None


class Checked(NamedTuple):
    """What one look at a photo found.

    `reason` says why it can't be used, and is empty where it can; `note`, what is worth knowing of it. Width and height
    are as it is seen, upright. `encoded` are the bytes that stand in for its own, where it was made anew. `phash` is
    None where nothing is to be compared.
    """

    photo: Photo
    sha256: bytes = b""
    width: int = 0
    height: int = 0
    size_bytes: int = 0
    format: str = ""
    phash: int | None = None
    reason: str = ""
    note: str = ""
    encoded: bytes | None = None


def in_parallel(work: Callable[[T], Any], items: Iterable[T], threads: int) -> Iterator[Any]:
    """Map over items with threads, in order, at most a window ahead."""
    waiting = iter(items)
    with ThreadPoolExecutor(threads or os.cpu_count()) as executor:
        under_way = deque(executor.submit(work, item) for item in islice(waiting, WINDOW))
        while under_way:
            yield under_way.popleft().result()
            under_way.extend(executor.submit(work, item) for item in islice(waiting, 1))


def check_photos(photos: Sequence[Photo], limits: Limits) -> list[Checked]:
    """Read, hash and decode a few photos, once each."""
    checked: list[Checked | None] = [None] * len(photos)
    waiting: dict[int, list[tuple[int, Header, bytes, Checked]]] = {}
    waiting_bytes = 0

    def decode_waiting() -> None:
        for ratio, group in waiting.items():
            thumbnails = _thumbnails([encoded for _, _, encoded, _ in group], ratio)
            for (number, header, encoded, found), thumbnail in zip(group, thumbnails, strict=True):
                checked[number] = _judge_jpeg(found, header, encoded, thumbnail, limits)
        waiting.clear()

    for number, photo in enumerate(photos):
        found = Checked(photo, reason=photo.problem)
        try:
            if not photo.problem:
                encoded = read_bytes(photo.file, photo.offset, photo.size, limits.file_bytes)
                found = found._replace(sha256=hashlib.sha256(encoded).digest(), size_bytes=len(encoded))
                header = read_header(encoded, limits.pixels, limits.frames)
                found = found._replace(format=header.format, note=_note(photo, header))
                width, height = header.width, header.height
                found = (
                    found._replace(width=height, height=width)
                    if header.turned
                    else found._replace(width=width, height=height)
                )
                if header.plain:
                    waiting.setdefault(_ratio(header), []).append((number, header, encoded, found))
                    waiting_bytes += len(encoded)
                else:
                    found = _judge(found, header, encoded, limits)
        except OSError as error:
            found = found._replace(reason=f"can't be read: {error.strerror}")
        except ValueError as error:
            found = found._replace(reason=f"can't be read: {error}")
        except NotUsable as error:
            found = found._replace(reason=str(error))
        checked[number] = found
        if waiting_bytes > MOST_GROUP_BYTES:
            decode_waiting()
            waiting_bytes = 0
    decode_waiting()
    return [found for found in checked if found is not None]


def _note(photo: Photo, header: Header) -> str:
    extension = PurePosixPath(photo.path).suffix.lower().lstrip(".")
    extension = {"jpg": "jpeg", "jpe": "jpeg", "jfif": "jpeg", "tif": "tiff"}.get(extension, extension)
    return f"named .{extension}, is {header.format}" if extension in KNOWN and extension != header.format else ""


KNOWN = (*NATIVE, "tiff", "avif")


def _ratio(header: Header) -> int:
    shorter = min(header.width, header.height)
    return next((ratio for ratio in (8, 4, 2) if shorter >= ratio * THUMBNAIL_PX), 1)


@cache
def _decoder(ratio: int, count: int) -> Any:
    """Decode `count` JPEGs in one call, each to its brightness alone, at a fraction of its size.

    Every coefficient is read, so whatever is damaged is found; few become pixels. One call for many photos takes
    600 microseconds a photo where a call each takes 720 (flower photos, two cores).
    """

    def decode_all(encoded: Any) -> list[Any]:
        return [tf.io.decode_jpeg(one, channels=1, ratio=ratio) for one in tf.unstack(encoded, count)]

    return tf.function(decode_all, autograph=False).get_concrete_function(tf.TensorSpec([count], tf.string))


def _thumbnails(encoded: Sequence[bytes], ratio: int) -> list[Any]:
    """Decode JPEGs small: for each, an array [height, width] uint8, or the error."""
    try:
        return [one.numpy()[..., 0] for one in _decoder(ratio, len(encoded))(tf.constant(list(encoded)))]
    except tf.errors.InvalidArgumentError:  # one of them is damaged
        return [_thumbnail(one, ratio) for one in encoded]


def _thumbnail(encoded: bytes, ratio: int) -> Any:
    try:
        return tf.io.decode_jpeg(encoded, channels=1, ratio=ratio).numpy()[..., 0]
    except tf.errors.InvalidArgumentError as error:
        return error


def _judge_jpeg(found: Checked, header: Header, encoded: bytes, thumbnail: Any, limits: Limits) -> Checked:
    if isinstance(thumbnail, Exception):
        return found._replace(reason=f"can't be decoded: {_plain(thumbnail)}")
    return _scaled(found._replace(phash=perceptual_hash(thumbnail)), header, encoded, limits)


def _judge(found: Checked, header: Header, encoded: bytes, limits: Limits) -> Checked:
    """Decode an image of any other kind twice, and make it anew where TensorFlow can't, or shows other pixels."""
    pixels, fault = None, f"TensorFlow reads no {header.format}"
    if header.format in NATIVE:
        try:
            pixels = tf.io.decode_image(encoded, channels=3, expand_animations=False).numpy()
        except tf.errors.InvalidArgumentError as error:
            fault = f"TensorFlow can't decode it ({_plain(error)})"
    try:
        picture = decode(encoded)
    except NotUsable:
        if pixels is None:
            raise
        grey = pixels.mean(axis=2).astype(
            np.uint8
        )  # TensorFlow is more forgiving here than Pillow, and it is what trains
        return _scaled(found._replace(phash=perceptual_hash(grey)), header, encoded, limits)
    found = found._replace(phash=perceptual_hash(np.asarray(picture.convert("L"))))
    if pixels is not None:
        if _alike(pixels, np.asarray(picture)):
            return _scaled(found, header, encoded, limits)
        fault = "TensorFlow decodes it otherwise than Pillow"
    upright = decode(encoded, upright=True)
    anew, kind = encode(upright, lossy=header.format in LOSSY)
    found = found._replace(
        encoded=anew,
        format=header.format,
        width=upright.width,
        height=upright.height,
        note=f"{found.note}; re-encoded as {kind}: {fault}".lstrip("; "),
    )
    return _scaled(found, header._replace(format=kind), anew, limits)


def _alike(pixels: Any, others: Any) -> bool:
    if pixels.shape != others.shape:
        return False
    step = max(1, pixels.size // 300_000)  # a sample of rows tells, and a hundred megapixels need not be compared
    rows = pixels[::step], others[::step]
    return bool(np.abs(rows[0].astype(np.int16) - rows[1]).mean() <= MOST_DIFFERENCE)


def _scaled(found: Checked, header: Header, encoded: bytes, limits: Limits) -> Checked:
    small = scaled_down(encoded, header, limits.store_px) if limits.store_px else None
    if small is None or len(small) >= len(encoded):
        return found
    return found._replace(encoded=small, note=f"{found.note}; scaled down".lstrip("; "))


def _plain(error: Any) -> str:
    """Say TensorFlow's error without its internals."""
    text = INTERNALS.sub("", error.message.splitlines()[0])
    return "truncated or damaged" if "Invalid JPEG data" in text else text
