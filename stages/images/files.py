"""Image files, read with Pillow: headers, checked before anything is decoded, and re-encoded images."""

from __future__ import annotations

import io
import warnings
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps, features

from slimline.stages.images.containers import (
    ORIENTATION_TAG,
    Unsupported,
    describe,
    read_gif,
    read_jpeg,
    read_webp_size,
)
from slimline.stages.images.faults import Fault
from slimline.stages.images.heif import can_read_heif

JPEG, PNG, GIF, BMP, WEBP, TIFF, AVIF, HEIF = "jpeg", "png", "gif", "bmp", "webp", "tiff", "avif", "heif"
OPENED = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "AVIF")
"""The formats that Pillow itself may open; its other readers are never used on a user's file."""

NATIVE = (JPEG, PNG, GIF, BMP, WEBP)
"""The formats that TensorFlow decodes; images in other formats are re-encoded."""

LOSSY = (JPEG, WEBP, AVIF, HEIF)
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
MOST_JPEG_PX = 65_500
"""The longest side that libjpeg writes."""

JPEG_START = b"\xff\xd8\xff"
PNG_END = b"IEND\xaeB`\x82"
DNG_VERSION_TAG, TILE_SIZE_TAGS = 50706, (322, 323)

SIGNATURES = (
    (0, JPEG_START, JPEG),
    (0, b"\x89PNG\r\n\x1a\n", PNG),
    (0, b"GIF8", GIF),
    (0, b"BM", BMP),
    (8, b"WEBP", WEBP),
    (0, b"II*\0", TIFF),
    (0, b"MM\0*", TIFF),
    (4, b"ftypavif", AVIF),
    (4, b"ftypavis", AVIF),
    (4, b"ftyphei", HEIF),
    (4, b"ftyphev", HEIF),
    (4, b"ftypmif1", HEIF),
    (4, b"ftypmsf1", HEIF),
)
START_BYTES = 64

warnings.filterwarnings("ignore", module="PIL")  # damaged files get a row. `catch_warnings` isn't safe with threads
Image.MAX_IMAGE_PIXELS = None  # `read_header` checks every size against ingest.max_pixels before anything is decoded

DAMAGED = "damaged"
ERRORS = (
    ("too much memory", "its text is larger, once decompressed, than that of any photo"),
    ("too large", "its text or color profile is larger, once decompressed, than that of any photo"),
    ("truncated", "truncated"),
    ("unpack_from requires", "truncated"),
    ("not enough image data", "truncated"),
    ("unsupported bmp", "an unsupported kind of BMP"),
)
"""Texts in Pillow's errors, in lower case, and their meaning; all other errors mean damage."""


class Header(NamedTuple):
    """An image's header: its format, its stored size in pixels, its orientation, and whether it is plain.

    `turned` is true if a JPEG's EXIF orientation swaps height and width. `orientation_ignored` is true if a WebP's EXIF
    orientation isn't upright, because TensorFlow ignores it. All decoders read `plain` JPEGs, gray or in color, the
    same way; of all other images the decoded pixels are compared.
    """

    format: str
    width: int
    height: int
    turned: bool = False
    orientation_ignored: bool = False
    plain: bool = False


class NotUsable(Exception):
    """An image can't be used; the message says why, `fault` which kind of reason that is."""

    def __init__(self, reason: str, fault: Fault = Fault.damaged) -> None:
        super().__init__(reason)
        self.fault = fault


def sniff(start: bytes) -> str | None:
    """Return a file's format from its first 12 bytes, or None."""
    return next((name for at, magic, name in SIGNATURES if start[at : at + len(magic)] == magic), None)


def _format_of(encoded: bytes) -> str | None:
    is_avif = encoded[4:12] == b"ftypmif1" and b"avif" in encoded[12:START_BYTES]
    return AVIF if is_avif else sniff(encoded[:12])


def read_header(encoded: bytes, most_pixels: int, most_frames: int) -> Header:
    """Read an image's header.

    Raises:
        NotUsable: it isn't an image, is too large, is an animation with too many frames, or needs another package.
    """
    found = readable_format(encoded)
    try:
        if found == JPEG:
            jpeg = read_jpeg(encoded)
            _refuse_large(jpeg.width, jpeg.height, most_pixels)
            return Header(JPEG, jpeg.width, jpeg.height, jpeg.orientation >= 5, plain=jpeg.plain)
        if found == GIF:
            gif = read_gif(encoded, most_frames)
            _refuse_large(gif.width, gif.height, most_pixels)
            _refuse_long(gif.frames, most_frames)
            if gif.pixels > most_pixels:  # TensorFlow decodes all frames to show the first
                raise NotUsable(
                    f"too large: its {gif.frames} frames have {gif.pixels:,} pixels, "
                    f"more than ingest.max_pixels={most_pixels:,} allows",
                    Fault.too_large,
                )
        if found == WEBP:
            _refuse_large(*read_webp_size(encoded), most_pixels)
        if found == PNG and encoded.rfind(PNG_END) < 0:
            raise NotUsable("truncated: its end is missing")
    except ValueError as error:
        fault = Fault.unsupported if isinstance(error, Unsupported) else Fault.damaged
        raise NotUsable(str(error), fault) from error
    return _pillows_header(encoded, found, most_pixels, most_frames)


def readable_format(start: bytes) -> str:
    """Return the format of an image from its bytes, of which the first START_BYTES are enough.

    Raises:
        NotUsable: it isn't an image, or needs another package.
    """
    if not start:
        raise NotUsable("the file is empty", Fault.empty)
    kind = _format_of(start)
    if kind is None:
        raise NotUsable(*describe(start))
    if kind == HEIF and not can_read_heif():
        raise NotUsable("it is HEIC, which needs another package: pip install pillow-heif", Fault.heif)
    if kind == AVIF and not _can_read_avif():
        raise NotUsable("it is AVIF, which needs a later Pillow: pip install 'pillow>=11.3'", Fault.avif)
    return kind


@cache
def _can_read_avif() -> bool:
    return "avif" in features.modules and bool(features.check("avif"))


def _pillows_header(encoded: bytes, found: str, most_pixels: int, most_frames: int) -> Header:
    try:
        image = Image.open(io.BytesIO(encoded), formats=[found.upper()])
        width, height = image.size
        _refuse_large(width, height, most_pixels)
        if found == TIFF:
            _refuse_strange_tiff(image, most_pixels)
        if found != GIF:
            _refuse_long(_count_frames(image, most_frames), most_frames)
        ignored = found == WEBP and image.getexif().get(ORIENTATION_TAG, 1) in range(2, 9)
    except NotUsable:
        raise
    except Exception as error:  # Pillow raises a dozen kinds of errors on damaged headers
        why = _reason(error)
        raise NotUsable("its header is damaged or truncated" if why == DAMAGED else why) from error
    return Header(found, width, height, orientation_ignored=ignored)


def _refuse_large(width: int, height: int, most_pixels: int) -> None:
    if width * height > most_pixels:
        raise NotUsable(
            f"too large: {width:,} x {height:,} pixels are more than ingest.max_pixels={most_pixels:,} allows",
            Fault.too_large,
        )


def _refuse_long(frames: int, most: int) -> None:
    if frames > most:
        raise NotUsable(f"an animation with more than ingest.max_frames={most:,} frames", Fault.too_large)


def _count_frames(image: Any, most: int) -> int:
    """Count an image's frames; those of a TIFF, which form a linked list, only up to `most` + 1."""
    if image.format != "TIFF" or not image.is_animated:
        return int(getattr(image, "n_frames", 1))
    try:
        image.seek(most)
    except EOFError:
        return 1
    return most + 1


def _refuse_strange_tiff(image: Any, most_pixels: int) -> None:
    if DNG_VERSION_TAG in image.tag_v2:
        raise NotUsable(
            "it is a camera's raw file (DNG), of which only a small preview could be read", Fault.unsupported
        )
    if image.mode in ("F", "I"):
        raise NotUsable("its pixels have more than 16 bits, which viewers show differently", Fault.unsupported)
    tile = [image.tag_v2.get(tag, 0) for tag in TILE_SIZE_TAGS]
    if tile[0] * tile[1] > most_pixels:
        raise NotUsable(
            f"too large: tiles of {tile[0]:,} x {tile[1]:,} pixels, more than ingest.max_pixels allows", Fault.too_large
        )


def decode(encoded: bytes, upright: bool = False) -> Image.Image:
    """Decode an image's first frame to RGB; 16-bit values are reduced to 8 bits as TensorFlow does.

    Raises:
        NotUsable: it is damaged.
    """
    try:
        image = _opened(encoded)
        image.load()
        return _in_rgb(image, encoded, upright)
    except Exception as error:  # Pillow raises a dozen kinds of errors on damaged images
        raise NotUsable(f"can't be decoded: {_reason(error)}") from error


def _opened(encoded: bytes) -> Image.Image:
    is_heif = _format_of(encoded) == HEIF and can_read_heif()
    return Image.open(io.BytesIO(encoded), formats=[HEIF.upper()] if is_heif else OPENED)


def _in_rgb(image: Image.Image, encoded: bytes, upright: bool) -> Image.Image:
    """Convert an image to RGB, turned as EXIF says, except PNGs, whose EXIF is often copied from their source."""
    if upright and encoded.startswith(JPEG_START):
        turn = TURNS.get(read_jpeg(encoded).orientation)
        image = image if turn is None else image.transpose(turn)
    elif upright and image.format != "PNG":
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8))
    return image.convert("RGB")


def encode(image: Image.Image, lossy: bool) -> tuple[bytes, str]:
    """Encode RGB pixels: as JPEG of quality 95 without color subsampling if their source was lossy, else as PNG."""
    file = io.BytesIO()
    lossy = lossy and max(image.size) <= MOST_JPEG_PX
    if lossy:
        image.save(file, "JPEG", quality=95, subsampling=0)
    else:
        image.save(file, "PNG", compress_level=6)
    return file.getvalue(), JPEG if lossy else PNG


def scaled_down(encoded: bytes, header: Header, shorter_px: int) -> bytes | None:
    """Re-encode a photo upright, with `shorter_px` on its shorter side, as a JPEG of quality 92, or return None.

    None means that the photo is not changed: it is small enough, or too long and narrow for a JPEG.
    A JPEG is reduced while it is decoded (by 2, 4 or 8) as far as that keeps twice the wanted size, then resized.
    """
    shorter, longer = sorted((header.width, header.height))
    if shorter <= shorter_px or longer * shorter_px > MOST_JPEG_PX * shorter:
        return None
    try:
        with _opened(encoded) as image:
            if header.format == JPEG:
                width, height = (2 * shorter_px * side // shorter for side in image.size)
                image.draft(None, (width, height))
            picture = _in_rgb(image, encoded, upright=True)
    except Exception as error:
        raise NotUsable(f"can't be decoded: {_reason(error)}") from error
    scale = shorter_px / min(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    file = io.BytesIO()
    picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0).save(file, "JPEG", quality=92)
    return file.getvalue()


def _reason(error: BaseException) -> str:
    """Return the meaning of an error of Pillow's, in a few words."""
    text = str(error).lower()
    return next((words for sign, words in ERRORS if sign in text), DAMAGED)
