"""Image files as Pillow sees them: what a header says before anything is decoded, and pictures made anew."""

from __future__ import annotations

import io
import warnings
from typing import Any, NamedTuple

from PIL import Image, ImageOps

JPEG, PNG, GIF, BMP, WEBP = "jpeg", "png", "gif", "bmp", "webp"
OPENED = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "AVIF")
"""The formats that Pillow may open here; its other readers never see a user's file."""

NATIVE = (JPEG, PNG, GIF, BMP, WEBP)
"""What TensorFlow decodes; the rest is re-encoded."""

LOSSY = (JPEG, WEBP, "avif")
ORIENTATION_TAG = 0x0112
MOST_JPEG_SCANS = 100
"""A progressive JPEG has about ten scans. Each goes over the whole picture: a small file can ask for hours of work."""

SIGNATURES = (
    (0, b"\xff\xd8\xff", JPEG),
    (0, b"\x89PNG\r\n\x1a\n", PNG),
    (0, b"GIF8", GIF),
    (0, b"BM", BMP),
    (8, b"WEBP", WEBP),
    (0, b"II*\0", "tiff"),
    (0, b"MM\0*", "tiff"),
    (8, b"avif", "avif"),
)
STRANGERS = (
    (0, b"%PDF", "a PDF"),
    (4, b"ftyphe", "HEIC"),
    (4, b"ftypmif1", "HEIF"),
    (4, b"ftyp", "a video (MP4, QuickTime)"),
    (0, b"PK\x03\x04", "a zip archive"),
    (0, b"\x1f\x8b", "gzip"),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"\0\0\x01\0", "an icon (ICO)"),
    (0, b"<svg", "SVG"),
    (0, b"<?xml", "XML or SVG"),
    (0, b"<!DOCTYPE", "a web page"),
    (0, b"<!doctype", "a web page"),
    (0, b"<html", "a web page"),
    (0, b"{", "text (JSON)"),
)

warnings.filterwarnings("ignore", module="PIL")  # of files that are damaged: they get a row that says so


class Header(NamedTuple):
    """What a header says: the format, the size in pixels as it is stored, Pillow's mode, and whether it is plain.

    `turned` is true where EXIF says that height and width change places. `plain` JPEGs, grey or in colour, are decoded
    as they are by everyone; of all others the decoded pixels are compared.
    """

    format: str
    width: int
    height: int
    mode: str
    turned: bool
    plain: bool


class NotUsable(Exception):
    """Why an image can't be used."""


def sniff(start: bytes) -> str | None:
    """Name the format that a file's first 12 bytes show, or None."""
    return next((name for at, magic, name in SIGNATURES if start[at : at + len(magic)] == magic), None)


def describe(start: bytes) -> str:
    """Say in words what a file is that is no image that can be read here."""
    begin = start[:64].lstrip(b"\xef\xbb\xbf \t\r\n")
    for at, magic, name in STRANGERS:
        if (start if at else begin)[at : at + len(magic)] == magic:
            return name
    if start[:64] and not start[:64].strip(b"\0"):
        return "zeros"
    return "text" if start[:64].isascii() and start[:64].decode().isprintable() else "not an image"


def read_header(encoded: bytes, most_pixels: int, most_frames: int) -> Header:
    """Read an image's header.

    Raises:
        NotUsable: it is no image, too large, or too long an animation.
    """
    if not encoded:
        raise NotUsable("the file is empty")
    found = sniff(encoded[:12])
    if found is None:
        raise NotUsable(f"it is {describe(encoded)}, which is no photo")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(encoded), formats=[found.upper()])
    except Image.DecompressionBombError as error:
        raise NotUsable(f"too large: {error}") from error
    except Exception as error:  # Pillow raises a dozen kinds of errors on damaged headers
        raise NotUsable(f"its header is damaged ({found}): {_first_line(error)}") from error
    width, height = image.size
    if width * height > most_pixels:
        raise NotUsable(
            f"too large: {width:,} x {height:,} pixels are more than ingest.max_pixels={most_pixels:,} allows"
        )
    if found == JPEG:
        return _jpeg_header(encoded, image)
    if _has_more_frames(image, most_frames):
        raise NotUsable(f"an animation of more than ingest.max_frames={most_frames:,} frames")
    return Header(found, width, height, image.mode, False, False)


def _jpeg_header(encoded: bytes, image: Image.Image) -> Header:
    width, height = image.size
    if "progressive" in image.info and encoded.count(b"\xff\xda") > MOST_JPEG_SCANS:
        raise NotUsable(f"a progressive JPEG of more than {MOST_JPEG_SCANS} scans, made to keep a reader busy")
    turned = False
    if "exif" in image.info:
        turned = _orientation(image) >= 5
    return Header(JPEG, width, height, image.mode, turned, image.mode in ("RGB", "L"))


def _orientation(image: Image.Image) -> int:
    """Return what EXIF says of the camera, 1 (upright) where that is damaged."""
    try:
        value = image.getexif().get(ORIENTATION_TAG, 1)
    except Exception:  # damaged EXIF is no reason to leave a photo out, and TensorFlow's reader takes it as upright
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _has_more_frames(image: Image.Image, most: int) -> bool:
    """Say whether an image has more frames than `most`, looking at no more of them."""
    if not getattr(image, "is_animated", False):
        return False
    if image.format != "GIF":
        return int(getattr(image, "n_frames", 1)) > most
    try:
        image.seek(most)
    except EOFError:
        return False
    except Exception as error:
        raise NotUsable(f"its frames are damaged: {_first_line(error)}") from error
    return True


def decode(encoded: bytes, upright: bool = False) -> Image.Image:
    """Decode an image's first frame to RGB; 16-bit values are brought to 8 as TensorFlow does.

    Raises:
        NotUsable: it is damaged.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image: Image.Image = Image.open(io.BytesIO(encoded), formats=OPENED)
            image.load()
            if image.mode in ("I;16", "I;16B", "I"):
                image = Image.fromarray(_to_8_bits(image))
            turned = ImageOps.exif_transpose(image) if upright and image.format != "PNG" else image
            return turned.convert("RGB")
    except Exception as error:  # Pillow raises a dozen kinds of errors on damaged images
        raise NotUsable(f"can't be decoded: {_first_line(error)}") from error


def _to_8_bits(image: Image.Image) -> Any:
    import numpy as np

    return (np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8)


def encode(image: Image.Image, lossy: bool) -> tuple[bytes, str]:
    """Encode RGB pixels: as a JPEG of quality 95 without colour subsampling where they were lossy, else as PNG."""
    file = io.BytesIO()
    if lossy:
        image.save(file, "JPEG", quality=95, subsampling=0)
    else:
        image.save(file, "PNG", compress_level=6)
    return file.getvalue(), JPEG if lossy else PNG


def scaled_down(encoded: bytes, header: Header, shorter_px: int) -> bytes | None:
    """Make a photo anew, upright, `shorter_px` on its shorter side, a JPEG of quality 92; None if it is small enough.

    A JPEG is reduced while it is decoded (by 2, 4 or 8) as far as that keeps twice the wanted size, then resized.
    """
    if min(header.width, header.height) <= shorter_px:
        return None
    try:
        with Image.open(io.BytesIO(encoded), formats=OPENED) as image:
            if header.format == JPEG:
                shorter = min(header.width, header.height)
                width, height = (2 * shorter_px * side // shorter for side in image.size)
                image.draft(None, (width, height))
            picture = ImageOps.exif_transpose(image).convert("RGB")
    except Exception as error:
        raise NotUsable(f"can't be decoded: {_first_line(error)}") from error
    scale = shorter_px / min(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    file = io.BytesIO()
    picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0).save(file, "JPEG", quality=92)
    return file.getvalue()


def _first_line(error: BaseException) -> str:
    text = str(error).splitlines()
    return text[0][:200] if text else type(error).__name__
