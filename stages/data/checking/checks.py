"""Checks: decode each photo once, to prove that it can be used or to say why not."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from slimline.stages.backend.tensorflow import tf
from slimline.stages.data.checking.known_photos import Find
from slimline.stages.data.checking.near_duplicates import perceptual_hash
from slimline.stages.data.sources.photo import Photo, TooLarge, read_bytes
from slimline.stages.images.decoder_messages import decode_attentively, shows_damage
from slimline.stages.images.faults import Fault
from slimline.stages.images.files import (
    LOSSY,
    NATIVE,
    PNG,
    TIFF,
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

LEAST_BRIGHTEST = 16
"""An image whose values are all below this, of 255, is nearly black: so are 12-bit values, stored with 16 bits."""

NEARLY_BLACK = "nearly black"
NO_PHOTO = Photo("", "")


class Limits(NamedTuple):
    """Limits of a photo, and the shorter side in pixels that it is scaled down to (None: not scaled)."""

    pixels: int
    frames: int
    file_bytes: int
    store_px: int | None = None


class Checked(NamedTuple):
    """Result of checking a photo.

    `reason` says why it can't be used, and is empty if it can; `fault` is the kind of reason. `note` holds further
    information about the photo's content. Width and height are those of the stored photo, upright. `encoded` holds the
    new bytes of a photo that was re-encoded. `phash` is None if the photo is not compared with others.
    """

    photo: Photo
    sha256: bytes = b""
    width: int = 0
    height: int = 0
    size_bytes: int = 0
    format: str = ""
    phash: int | None = None
    reason: str = ""
    fault: Fault | None = None
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

    The bytes that are returned can be decoded without a message of libjpeg's.

    Raises:
        NotUsable: it is damaged, too large, or not an image.
    """
    header = read_header(encoded, limits.pixels, limits.frames)
    if header.plain:
        [(thumbnail, messages)] = decode_small([encoded], _ratio(header))
        judged = _judge_jpeg(Checked(NO_PHOTO), header, encoded, limits, thumbnail, messages)
    else:
        judged = _judge(Checked(NO_PHOTO), header, encoded, limits)
    return encoded if judged.encoded is None else judged.encoded


def _read(photo: Photo, limits: Limits, find: Find) -> tuple[Checked, Header | None, bytes]:
    """Read a photo and its header; the header is None if the photo is known or can't be used: nothing is left to do."""
    if photo.problem:
        return Checked(photo, reason=photo.problem, fault=photo.fault), None, b""
    found = Checked(photo)
    try:
        encoded = read_bytes(photo.file, photo.offset, photo.size, limits.file_bytes)
        found = found._replace(sha256=hashlib.sha256(encoded).digest(), size_bytes=len(encoded))
        if known := find(found.sha256):
            return found._replace(**known._asdict()), None, b""
        header = read_header(encoded, limits.pixels, limits.frames)
    except FileNotFoundError as error:
        return found._replace(reason=f"can't be read: {error.strerror}", fault=Fault.missing), None, b""
    except OSError as error:
        return found._replace(reason=f"can't be read: {error.strerror}", fault=Fault.unreadable), None, b""
    except TooLarge as error:
        return found._replace(reason=f"can't be read: {error}", fault=Fault.too_large), None, b""
    except ValueError as error:
        return found._replace(reason=f"can't be read: {error}", fault=Fault.unreadable), None, b""
    except NotUsable as error:
        return found._replace(reason=str(error), fault=error.fault), None, b""
    width, height = (header.height, header.width) if header.turned else (header.width, header.height)
    return found._replace(format=header.format, width=width, height=height), header, encoded


def _decode(waiting: Sequence[tuple[int, Checked, Header, bytes]], limits: Limits) -> Iterator[tuple[int, Checked]]:
    """Decode plain JPEGs, those with the same reduction together."""
    for ratio in {_ratio(header) for _, _, header, _ in waiting}:
        group = [one for one in waiting if _ratio(one[2]) == ratio]
        small = decode_small([encoded for *_, encoded in group], ratio)
        for (number, found, header, encoded), (thumbnail, messages) in zip(group, small, strict=True):
            yield number, _or_why_not(found, _judge_jpeg, header, encoded, limits, thumbnail, messages)


def _or_why_not(found: Checked, judge: Callable[..., Checked], *arguments: Any) -> Checked:
    try:
        return judge(found, *arguments)
    except NotUsable as error:
        return found._replace(reason=str(error), fault=error.fault)


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


def decode_small(encoded: Sequence[bytes], ratio: int) -> list[tuple[Any, list[str]]]:
    """Decode JPEGs at a reduced size: for each, an array [height, width] uint8 or the error, and libjpeg's messages."""

    def decode_group(photos: Sequence[bytes]) -> list[Any] | None:
        try:
            return [one.numpy()[..., 0] for one in _decoder(ratio, len(photos))(tf.constant(list(photos)))]
        except tf.errors.OpError as error:
            return [error] if len(photos) == 1 else None

    return decode_attentively(decode_group, encoded)


def _judge_jpeg(
    found: Checked, header: Header, encoded: bytes, limits: Limits, thumbnail: Any, messages: list[str]
) -> Checked:
    if isinstance(thumbnail, Exception):
        raise NotUsable("can't be decoded: truncated or damaged")
    oddity = _oddity(messages)
    found = found._replace(phash=perceptual_hash(thumbnail), note=_darkness(thumbnail, header))
    return _reencoded(found, header, encoded, limits, oddity) if oddity else _scaled(found, header, encoded, limits)


def _oddity(messages: Sequence[str]) -> str:
    """Return what libjpeg reports about a photo that is oddly written; empty if it reports nothing.

    Raises:
        NotUsable: it reports damage.
    """
    for message in messages:
        if shows_damage(message):
            raise NotUsable(f"damaged inside: libjpeg reports '{_without_numbers(message)}'")
    return f"libjpeg reports '{_without_numbers(messages[0])}'" if messages else ""


def _without_numbers(message: str) -> str:
    return re.sub(" ?0x[0-9a-f]+", "", message).removeprefix("Corrupt JPEG data: ")


def _darkness(pixels: Any, header: Header) -> str:
    """Return a note about an image that is nearly black; empty for any other."""
    brightest = int(pixels.max())
    if brightest >= LEAST_BRIGHTEST:
        return ""
    advice = "; if its values have 16 bits, scale them up to 65,535" if header.format in (PNG, TIFF) else ""
    return f"{NEARLY_BLACK}: its brightest value is {brightest} of 255{advice}"


def _judge(found: Checked, header: Header, encoded: bytes, limits: Limits) -> Checked:
    """Decode any other image by TensorFlow and Pillow; re-encode it if TensorFlow can't, or if the pixels differ."""
    pixels, messages = _decode_with_tensorflow(encoded) if header.format in NATIVE else (None, [])
    picture = decode(encoded)  # raises for damaged photos, of which TensorFlow may decode a part
    oddity = _oddity(messages if pixels is not None else messages[:-1])  # the last one is TensorFlow's error
    gray = np.asarray(picture.convert("L"))
    found = found._replace(phash=perceptual_hash(gray), note=_darkness(gray, header))
    if header.format not in NATIVE:
        fault = f"TensorFlow doesn't read {header.format}"
    elif pixels is None:
        fault = "TensorFlow can't decode it"
    elif not _alike(pixels, np.asarray(picture)):
        fault = "TensorFlow decodes it differently from Pillow"
    elif header.orientation_ignored:
        fault = "TensorFlow ignores its orientation"
    elif oddity:
        fault = oddity
    else:
        return _scaled(found, header, encoded, limits)
    return _reencoded(found, header, encoded, limits, fault)


def _reencoded(found: Checked, header: Header, encoded: bytes, limits: Limits, why: str) -> Checked:
    upright = decode(encoded, upright=True)
    reencoded, kind = encode(upright, lossy=header.format in LOSSY)
    if _decode_with_tensorflow(reencoded)[0] is None:
        raise NotUsable(
            f"too long: TensorFlow can't decode a {kind} of {upright.width:,} x {upright.height:,} pixels",
            Fault.too_large,
        )
    note = f"{found.note}; re-encoded as {kind}: {why}".lstrip("; ")
    found = found._replace(encoded=reencoded, width=upright.width, height=upright.height, note=note)
    return _scaled(found, Header(kind, upright.width, upright.height), reencoded, limits)


def _decode_with_tensorflow(encoded: bytes) -> tuple[Any, list[str]]:
    """Decode an image's first frame as `preprocess` does: an array [height, width, 3] uint8, or None if that fails.

    The second value holds libjpeg's messages.
    """

    def decode_one(photos: Sequence[bytes]) -> list[Any]:
        try:
            return [tf.io.decode_image(photos[0], channels=3, expand_animations=False).numpy()]
        except tf.errors.OpError:
            return [None]

    [found] = decode_attentively(decode_one, [encoded])
    return found


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
