"""Image files written byte by byte, of kinds that no library writes."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image

ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def save(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, bits: int, color: int, rows: bytes, more: Iterable[bytes] = (), interlaced=0) -> bytes:
    """Write a PNG from its filtered rows, with chunks between the header and the picture."""
    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, interlaced)
    chunks = (png_chunk(b"IHDR", header), *more, png_chunk(b"IDAT", zlib.compress(rows)), png_chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def png_rows(pixels: np.ndarray) -> bytes:
    """Write rows [height, width, ...] of 8 or 16 bits, unfiltered."""
    big_endian = pixels.astype(pixels.dtype.newbyteorder(">"))
    return b"".join(b"\0" + row.tobytes() for row in big_endian)


def interlaced_png(pixels: np.ndarray) -> bytes:
    height, width, _ = pixels.shape
    rows = b"".join(png_rows(pixels[top::down, left::across]) for top, left, down, across in ADAM7)
    return png(width, height, 8, 2, rows, interlaced=1)


def packed(text: bytes) -> bytes:
    """Compress as zlib does."""
    return zlib.compress(text, 9)


def bmp(width: int, height: int, bits: int, body: bytes, palette: bytes = b"", compression: int = 0) -> bytes:
    offset = 54 + len(palette)
    info = struct.pack(
        "<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(body), 2835, 2835, len(palette) // 4, 0
    )
    return b"BM" + struct.pack("<IHHI", offset + len(body), 0, 0, offset) + info + palette + body


def core_bmp(pixels: np.ndarray) -> bytes:
    """Write a 24-bit bitmap with the short header of OS/2, in which sizes have two bytes."""
    height, width, _ = pixels.shape
    body = _bgr(pixels[::-1])
    header = struct.pack("<IHHHH", 12, width, height, 1, 24)
    return b"BM" + struct.pack("<IHHI", 26 + len(body), 0, 0, 26) + header + body


def top_down_bmp(pixels: np.ndarray) -> bytes:
    return bmp(pixels.shape[1], -pixels.shape[0], 24, _bgr(pixels))


def _bgr(pixels: np.ndarray) -> bytes:
    return b"".join(row.tobytes() + bytes(-len(row.tobytes()) % 4) for row in pixels[..., ::-1])


def rle_bmp(indices: np.ndarray, palette: bytes) -> bytes:
    """Write a palette's indices [height, width] as runs of one."""
    rows = b"".join(b"".join(bytes((1, value)) for value in row) + b"\0\0" for row in indices[::-1])
    return bmp(indices.shape[1], indices.shape[0], 8, rows + b"\0\1", palette, compression=1)


def gif(screen: tuple[int, int], frames: Sequence[tuple[int, int, Image.Image]], trailer: bytes = b";") -> bytes:
    """Write a GIF of frames, each at its place on the screen, and with its own palette."""
    return b"GIF89a" + struct.pack("<HHBBB", *screen, 0, 0, 0) + b"".join(_frame(*one) for one in frames) + trailer


def _frame(left: int, top: int, image: Image.Image) -> bytes:
    encoded = save(image, "GIF", interlace=0)
    bits = encoded[10] & 7
    palette = encoded[13 : 13 + (6 << bits)]
    start = encoded.index(b",", 13 + len(palette))
    place = struct.pack("<HHHHB", left, top, *image.size, 0x80 | bits)
    return b"," + place + palette + encoded[start + 10 : -1]


def segment(marker: int, content: bytes) -> bytes:
    """Write a JPEG's segment."""
    return bytes((0xFF, marker)) + struct.pack(">H", len(content) + 2) + content


def with_segments(jpeg: bytes, *segments: bytes) -> bytes:
    """Insert segments right after a JPEG's start."""
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


def exif(
    entries: Iterable[tuple[int, int, int, int]], order: str = "<", directory: int = 8, count: int | None = None
) -> bytes:
    """Write an Exif segment: one directory of (tag, type, count, value), which names itself as the next directory."""
    written = [struct.pack(f"{order}HHIHH", *entry, 0) for entry in entries]
    tiff = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", directory)
    tiff += struct.pack(f"{order}H", len(written) if count is None else count) + b"".join(written)
    return segment(0xE1, b"Exif\0\0" + tiff + struct.pack(f"{order}I", 8))


def patched(encoded: bytes, at: int, content: bytes) -> bytes:
    return encoded[:at] + content + encoded[at + len(content) :]


def frame_header(jpeg: bytes) -> int:
    """Return where a JPEG's frame header starts."""
    return next(jpeg.index(bytes((0xFF, kind))) for kind in (0xC0, 0xC2) if bytes((0xFF, kind)) in jpeg)


def tiff_value(tiff: bytes, tag: int) -> int:
    """Return the position of the value of a little-endian TIFF's tag."""
    directory = struct.unpack_from("<I", tiff, 4)[0]
    for number in range(struct.unpack_from("<H", tiff, directory)[0]):
        entry = directory + 2 + 12 * number
        if struct.unpack_from("<H", tiff, entry)[0] == tag:
            return entry + 8
    raise KeyError(tag)


def tiled_tiff(pixels: np.ndarray, tile_px: int) -> bytes:
    """Write a gray TIFF [height, width] as one compressed tile that is larger than the picture."""
    height, width = pixels.shape
    body = zlib.compress(np.pad(pixels, ((0, tile_px - height), (0, tile_px - width))).tobytes(), 9)
    body += bytes(len(body) % 2)
    tags = {256: width, 257: height, 258: 8, 259: 8, 262: 1, 277: 1, 322: tile_px, 323: tile_px, 324: 8, 325: len(body)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<I", 8 + len(body)) + body + struct.pack("<H", len(tags)) + entries + bytes(4)


def retagged(tiff: bytes, tag: int, new: int, value: int) -> bytes:
    """Replace a TIFF's tag by another one, with an integer of four bytes."""
    entry = tiff_value(tiff, tag) - 8
    return patched(tiff, entry, struct.pack("<HHII", new, 4, 1, value))
