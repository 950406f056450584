"""Checks: decode each photo once, to prove that it can be used or to say why not."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from slimline.stages.backend.tensorflow import tf
from slimline.stages.data.checking.known_photos import Find
from slimline.stages.data.checking.near_duplicates import perceptual_hash
from slimline.stages.data.sources.photo import Photo, read_bytes
from slimline.stages.images.files import (
    LOSSY,
    NATIVE,
    Header,
    NotUsable,
    decode,
    encode,
    read_header,
    scaled_down,
)

MOST_GROUP_BYTES = 16_000_000
THUMBNAIL_PX = 16
"""A JPEG is decoded at the smallest size whose shorter side is at least this long."""

MOST_DIFFERENCE = 6.0
"""Largest mean difference of two decoders' pixels, of 255: rounding gives less than 1, wrong colors more than 10."""

NO_PHOTO = Photo("", "")


class Limits(NamedTuple):
    """Limits of a photo, and the shorter side in pixels that it is scaled down to (None: not scaled)."""

    pixels: int
    frames: int
    file_bytes: int
    store_px: int | None = None


class Checked(NamedTuple):
    """Result of checking a photo.

    `reason` says why it can't be used, and is empty if it can; `note` holds further information. Width and height are
    those of the stored photo, upright. `encoded` holds the new bytes of a photo that was re-encoded. `phash` is None if
    the photo is not compared with others.
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


def check_photos(photos: Sequence[Photo], limits: Limits, find: Find = lambda sha256: None) -> list[Checked]:
    """Read and hash a few photos, and decode those that `find` does not know, once each."""
    checked: dict[int, Checked] = {}
    waiting: list[tuple[int, Checked, Header, bytes]] = []
    for number, photo in enumerate(photos):
        found, header, encoded = _read(photo, limits, find)
        if header is not None and header.plain:
            waiting.append((number, found, header, encoded))
            if sum(len(one) for *_, one in waiting) > MOST_GROUP_BYTES:
                checked.update(_decode(waiting, limits))
                waiting = []
        else:
            checked[number] = found if header is None else _or_why_not(found, _judge, header, encoded, limits)
    checked.update(_decode(waiting, limits))
    return [checked[number] for number in range(len(photos))]


def usable_bytes(encoded: bytes, limits: Limits) -> bytes:
    """Return the bytes of a photo for a network: its own, or re-encoded ones if TensorFlow can't decode its own.

    Raises:
        NotUsable: it is damaged, too large, or not an image.
    """
    header = read_header(encoded, limits.pixels, limits.frames)
    if header.plain:
        [thumbnail] = decode_small([encoded], _ratio(header))
        judged = _judge_jpeg(Checked(NO_PHOTO), header, encoded, limits, thumbnail)
    else:
        judged = _judge(Checked(NO_PHOTO), header, encoded, limits)
    return encoded if judged.encoded is None else judged.encoded


def _read(photo: Photo, limits: Limits, find: Find) -> tuple[Checked, Header | None, bytes]:
    """Read a photo and its header; the header is None if the photo is known or can't be used: nothing is left to do."""
    found = Checked(photo, reason=photo.problem)
    if photo.problem:
        return found, None, b""
    try:
        encoded = read_bytes(photo.file, photo.offset, photo.size, limits.file_bytes)
        found = found._replace(sha256=hashlib.sha256(encoded).digest(), size_bytes=len(encoded))
        if known := find(found.sha256):
            return found._replace(note=_note(photo, known.format), **known._asdict()), None, b""
        header = read_header(encoded, limits.pixels, limits.frames)
    except OSError as error:
        return found._replace(reason=f"can't be read: {error.strerror}"), None, b""
    except ValueError as error:
        return found._replace(reason=f"can't be read: {error}"), None, b""
    except NotUsable as error:
        return found._replace(reason=str(error)), None, b""
    width, height = (header.height, header.width) if header.turned else (header.width, header.height)
    found = found._replace(format=header.format, note=_note(photo, header.format), width=width, height=height)
    return found, header, encoded


def _decode(waiting: Sequence[tuple[int, Checked, Header, bytes]], limits: Limits) -> Iterator[tuple[int, Checked]]:
    """Decode plain JPEGs, those with the same reduction together."""
    for ratio in {_ratio(header) for _, _, header, _ in waiting}:
        group = [one for one in waiting if _ratio(one[2]) == ratio]
        small = decode_small([encoded for *_, encoded in group], ratio)
        for (number, found, header, encoded), thumbnail in zip(group, small, strict=True):
            yield number, _or_why_not(found, _judge_jpeg, header, encoded, limits, thumbnail)


def _or_why_not(found: Checked, judge: Callable[..., Checked], *arguments: Any) -> Checked:
    try:
        return judge(found, *arguments)
    except NotUsable as error:
        return found._replace(reason=str(error))


def _note(photo: Photo, kind: str) -> str:
    extension = PurePosixPath(photo.path).suffix.lower().lstrip(".")
    extension = {"jpg": "jpeg", "jpe": "jpeg", "jfif": "jpeg", "tif": "tiff"}.get(extension, extension)
    return f"named .{extension}, is {kind}" if extension in KNOWN and extension != kind else ""


KNOWN = (*NATIVE, "tiff", "avif")


def _ratio(header: Header) -> int:
    shorter = min(header.width, header.height)
    return next((ratio for ratio in (8, 4, 2) if shorter >= ratio * THUMBNAIL_PX), 1)


@cache
def _decoder(ratio: int, count: int) -> Any:
    """Return a function that decodes `count` JPEGs in one call, each to brightness only, at a fraction of its size.

    All coefficients are read, so any damage is found, but few pixels are computed. One call for many photos takes 600
    microseconds per photo, one call per photo takes 720 (flower photos, two cores).
    """

    def decode_all(encoded: Any) -> list[Any]:
        return [tf.io.decode_jpeg(one, channels=1, ratio=ratio) for one in tf.unstack(encoded, count)]

    return tf.function(decode_all, autograph=False).get_concrete_function(tf.TensorSpec([count], tf.string))


def decode_small(encoded: Sequence[bytes], ratio: int) -> list[Any]:
    """Decode JPEGs at a reduced size: for each, an array [height, width] uint8, or the error."""
    try:
        return [one.numpy()[..., 0] for one in _decoder(ratio, len(encoded))(tf.constant(list(encoded)))]
    except tf.errors.OpError:  # one of them is damaged
        return [_thumbnail(one, ratio) for one in encoded]


def _thumbnail(encoded: bytes, ratio: int) -> Any:
    try:
        return tf.io.decode_jpeg(encoded, channels=1, ratio=ratio).numpy()[..., 0]
    except tf.errors.OpError as error:
        return error


def _judge_jpeg(found: Checked, header: Header, encoded: bytes, limits: Limits, thumbnail: Any) -> Checked:
    if isinstance(thumbnail, Exception):
        raise NotUsable("can't be decoded: truncated or damaged")
    return _scaled(found._replace(phash=perceptual_hash(thumbnail)), header, encoded, limits)


def _judge(found: Checked, header: Header, encoded: bytes, limits: Limits) -> Checked:
    """Decode any other image by TensorFlow and Pillow; re-encode it if TensorFlow can't, or if the pixels differ."""
    pixels = _decode_with_tensorflow(encoded) if header.format in NATIVE else None
    picture = decode(encoded)  # raises for damaged photos, of which TensorFlow may decode a part
    found = found._replace(phash=perceptual_hash(np.asarray(picture.convert("L"))))
    if header.format not in NATIVE:
        fault = f"TensorFlow doesn't read {header.format}"
    elif pixels is None:
        fault = "TensorFlow can't decode it"
    elif not _alike(pixels, np.asarray(picture)):
        fault = "TensorFlow decodes it differently from Pillow"
    elif header.orientation_ignored:
        fault = "TensorFlow ignores its orientation"
    else:
        return _scaled(found, header, encoded, limits)
    upright = decode(encoded, upright=True)
    reencoded, kind = encode(upright, lossy=header.format in LOSSY)
    if _decode_with_tensorflow(reencoded) is None:
        raise NotUsable(f"too long: TensorFlow can't decode a {kind} of {upright.width:,} x {upright.height:,} pixels")
    found = found._replace(
        encoded=reencoded,
        width=upright.width,
        height=upright.height,
        note=f"{found.note}; re-encoded as {kind}: {fault}".lstrip("; "),
    )
    return _scaled(found, Header(kind, upright.width, upright.height), reencoded, limits)


def _decode_with_tensorflow(encoded: bytes) -> Any:
    """Decode an image's first frame as `preprocess` does: an array [height, width, 3] uint8, or None if that fails."""
    try:
        return tf.io.decode_image(encoded, channels=3, expand_animations=False).numpy()
    except tf.errors.OpError:
        return None


def _alike(pixels: Any, others: Any) -> bool:
    if pixels.shape != others.shape:
        return False
    down, across = (max(1, side // 300) for side in pixels.shape[:2])  # a grid is enough: 100 megapixels take long
    difference = pixels[::down, ::across].astype(np.int16) - others[::down, ::across]
    return bool(np.abs(difference).mean() <= MOST_DIFFERENCE)


def _scaled(found: Checked, header: Header, encoded: bytes, limits: Limits) -> Checked:
    small = scaled_down(encoded, header, limits.store_px) if limits.store_px else None
    if small is None or len(small) >= len(encoded):
        return found
    stored = read_header(small, limits.pixels, limits.frames)
    note = f"{found.note}; scaled down".lstrip("; ")
    return found._replace(encoded=small, width=stored.width, height=stored.height, note=note)
