"""File headers: JPEG segments, GIF blocks, WebP chunks, and other formats' first bytes. Nothing is decoded."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

from slimline.stages.images.faults import Fault

MOST_SEGMENTS = 10_000
MOST_SCANS = 100
"""A progressive JPEG has about ten scans. Each covers the whole image: a small file can require hours of work."""

MARKER = re.compile(rb"\xff[^\x00\xff]", re.DOTALL)
AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
STANDALONE = frozenset((0x01, *range(0xD0, 0xD8)))
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
PROGRESSIVE = frozenset((0xC2, 0xC6, 0xCA, 0xCE))
HUFFMAN = frozenset((0xC0, 0xC1, 0xC2))
END, SCAN, EXIF = 0xD9, 0xDA, 0xE1
END_OF_IMAGE = bytes((0xFF, END))
ORIENTATION_TAG, SHORT = 0x0112, 3

OTHER_FORMATS = (
    (0, b"%PDF", "a PDF"),
    (4, b"ftyp", "a video (MP4, QuickTime)"),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (0, b"PK\x03\x04", "a zip archive"),
    (0, b"\x1f\x8b", "gzip"),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"\0\0\x01\0", "an icon (ICO)"),
    (0, b"<svg", "SVG"),
    (0, b"<?xml", "XML or SVG"),
    (0, b"<!doctype", "a web page"),
    (0, b"<html", "a web page"),
    (0, b"{", "text (JSON)"),
)


IMAGES = ("JPEG XL", "JPEG 2000", "a Photoshop file", "an icon (ICO)", "SVG", "XML or SVG")


class Unsupported(ValueError):
    """A file is an image of a kind that is not supported."""


def describe(start: bytes) -> tuple[str, Fault]:
    """Describe a file that isn't an image in a supported format."""
    begin = start[:64].lstrip(b"\xef\xbb\xbf \t\r\n")
    for at, magic, name in OTHER_FORMATS:
        if (start if at else begin)[at : at + len(magic)].lower() == magic.lower():
            fault = Fault.unsupported if name in IMAGES else Fault.not_an_image
            return f"it is {name}, which is not a supported image format", fault
    if not start[:64].strip(b"\0"):
        return "it is zeros, not an image", Fault.damaged
    is_text = start[:64].isascii() and not re.search(rb"[^\t\r\n -~]", start[:64])
    return "it is text, not an image" if is_text else "it is not an image in a known format", Fault.not_an_image


class Jpeg(NamedTuple):
    """A JPEG's stored size, its EXIF orientation (1 to 8), and whether all decoders read its kind the same way."""

    width: int
    height: int
    orientation: int
    plain: bool


def read_jpeg(encoded: bytes) -> Jpeg:
    """Read a JPEG's segments up to its image data, as libjpeg does.

    Raises:
        ValueError: it is damaged, or built to take very long to decode.
        Unsupported: it is of an unsupported kind.
    """
    frame: tuple[int, bytes] | None = None
    orientation = None
    for marker, segment, is_tidy in _segments(encoded):
        if marker == EXIF and is_tidy and orientation is None and segment.startswith(b"Exif\0\0"):
            orientation = _orientation(segment[6:])
        elif marker in FRAMES:
            if frame is not None:
                raise ValueError("its header is damaged: it describes two images")
            frame = marker, segment
        elif marker == SCAN:
            break
    if frame is None:
        raise ValueError("its header is damaged: no image follows")
    kind, segment = frame
    if len(segment) < 6 or len(segment) != 6 + 3 * segment[5]:
        raise ValueError("its header is damaged")
    bits, height, width, channels = struct.unpack_from(">BHHB", segment)
    if bits != 8:
        raise Unsupported(f"a JPEG with {bits} bits per channel; only 8 are supported")
    if not width or not height:
        raise ValueError("its header is damaged: the size is missing")
    if kind in PROGRESSIVE:
        _refuse_many_scans(encoded)
    factors = [(sampling >> 4, sampling & 15) for sampling in segment[7::3]]
    across, down = max(one for one, _ in factors), max(one for _, one in factors)
    # Otherwise the channels' sizes don't fit: only the brightness can be decoded, not the colors.
    fits = all(one and other and not across % one and not down % other for one, other in factors)
    return Jpeg(width, height, orientation or 1, kind in HUFFMAN and channels in (1, 3) and fits)


def _segments(encoded: bytes) -> Iterator[tuple[int, bytes, bool]]:
    """Yield a JPEG's segments up to its first scan: marker, content, and whether only fill bytes came before."""
    position, is_tidy = 2, True
    for _ in range(MOST_SEGMENTS):
        found = MARKER.search(encoded, position)
        if found is None:
            raise ValueError("truncated: it ends before its image data")
        marker = encoded[found.start() + 1]
        is_tidy = is_tidy and marker not in STANDALONE and not encoded[position : found.start()].strip(b"\xff")
        position = found.end()
        if marker in STANDALONE:
            continue
        if marker == END:
            raise ValueError("truncated: it ends before its image data")
        length = int.from_bytes(encoded[position : position + 2], "big")
        if position + max(length, 2) > len(encoded):
            raise ValueError("truncated: it ends before its image data")
        if length < 2:
            raise ValueError("its header is damaged")
        if marker == SCAN and encoded.rfind(END_OF_IMAGE, position) < 0:  # libjpeg would only print a warning
            raise ValueError("can't be decoded: truncated or damaged, its end is missing")
        yield marker, encoded[position + 2 : position + length], is_tidy
        if marker == SCAN:
            return
        position += length
    raise ValueError(f"its header has more than {MOST_SEGMENTS:,} parts; it may be built to take very long to read")


def _refuse_many_scans(encoded: bytes) -> None:
    """Refuse a JPEG with too many scans. Data after the image's end, such as a phone's video, doesn't count."""
    position = scans = 0
    while (found := AFTER_SCAN.search(encoded, position)) and encoded[found.start() + 1] != END:
        position = found.end()
        if encoded[position - 1] != 0xD8:
            position += int.from_bytes(encoded[position : position + 2], "big")
        scans += encoded[found.start() + 1] == SCAN
        if scans > MOST_SCANS:
            fault = f"a progressive JPEG with more than {MOST_SCANS} scans"
            raise ValueError(f"{fault}; it may be built to take very long to read")


def _orientation(tiff: bytes) -> int:
    """Read the orientation in a TIFF structure, 1 if it is damaged, by the rules of `orientation.read_orientation`.

    Pillow's rules differ: it also accepts an orientation from XMP, or one that is stored as another type.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None or len(tiff) < 10:
        return 1
    directory = struct.unpack_from(f"{order}i", tiff, 4)[0]
    if not 8 <= directory <= len(tiff) - 2:
        return 1
    count = struct.unpack_from(f"{order}H", tiff, directory)[0]
    entries = tiff[directory + 2 : directory + 2 + 12 * count]
    if len(entries) < 12 * count:
        return 1
    found = [
        value
        for tag, kind, number, value in struct.iter_unpack(f"{order}HHiHxx", entries)
        if (tag, kind, number) == (ORIENTATION_TAG, SHORT, 1) and value <= 8
    ]
    return max(1, *found) if found else 1


class Gif(NamedTuple):
    """A GIF's size, its whole first frame included, its number of frames, and the number of pixels in all frames."""

    width: int
    height: int
    frames: int
    pixels: int


def read_gif(encoded: bytes, most_frames: int) -> Gif:
    """Read a GIF's blocks, but at most one frame more than `most_frames`.

    Raises:
        ValueError: it ends inside a block, or has no image.
    """
    try:
        return _read_gif(encoded, most_frames)
    except (IndexError, struct.error) as error:
        raise ValueError("truncated: it ends inside an image") from error


def _read_gif(encoded: bytes, most_frames: int) -> Gif:
    width, height, flags = struct.unpack_from("<HHB", encoded, 6)
    position = 13 + _palette_bytes(flags)
    frames = pixels = 0
    while frames <= most_frames and position < len(encoded):
        kind = encoded[position]
        if kind == 0x21:  # an extension, and its label
            position += 2
        elif kind == 0x2C:
            left, top, across, down, flags = struct.unpack_from("<4HB", encoded, position + 1)
            position += 11 + _palette_bytes(flags)
            if not frames:
                width, height = max(width, left + across), max(height, top + down)
            frames, pixels = frames + 1, pixels + across * down
        else:  # the end, or an invalid block
            break
        while size := encoded[position]:
            position += size + 1
        position += 1
    if not frames:
        raise ValueError("its header is damaged: no image follows")
    return Gif(width, height, frames, pixels)


def _palette_bytes(flags: int) -> int:
    return 6 << (flags & 7) if flags & 0x80 else 0


def read_webp_size(encoded: bytes) -> tuple[int, int]:
    """Return a WebP's width and height. Pillow allocates memory for the pixels before it reports their number.

    Raises:
        ValueError: it is truncated, or damaged.

    Source: https://developers.google.com/speed/webp/docs/riff_container
    """
    if len(encoded) < 30 or len(encoded) < 8 + int.from_bytes(encoded[4:8], "little"):
        raise ValueError("truncated")
    kind = encoded[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(encoded[24:27], "little"), 1 + int.from_bytes(encoded[27:30], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(encoded[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", encoded, 26)
        return width & 0x3FFF, height & 0x3FFF
    raise ValueError("its header is damaged")
