"""Files that folders of photos hold, usable and hostile ones, by name, with the expected result of each."""

from __future__ import annotations

import functools
import struct
import zlib
from typing import NamedTuple

import numpy as np
from PIL import Image

from tests.stages.data.checking import handmade as by_hand
from tests.stages.data.checking.handmade import packed, patched, png, save, with_segments
from tests.stages.data.checking.usable import BOMB_BYTES, END, Files, picture, png_animation, usable

MOST_PIXELS, MOST_FRAMES, MOST_FILE_BYTES = 4_000_000, 20, 3_000_000
CLAIMED = 60_000


class Kind(NamedTuple):
    """A file's bytes, and the expected result: USED, REENCODED (and used), or a part of the reason why it is not."""

    encoded: bytes
    expected: str


@functools.cache
def kinds() -> dict[str, Kind]:
    """Make all files, by the name that each has in a folder."""
    files = {**usable(), **_strangers(), **_claims(), **_bombs(), **_broken(), **_truncated()}
    return {name: Kind(encoded, expected) for name, (encoded, expected) in files.items()}


def _strangers() -> Files:
    box = b"\0\0\0\x18ftyp%s\0\0\0\0mif1miaf" + bytes(200)
    return {
        "empty.jpg": (b"", "the file is empty"),
        "text.jpg": (b"Not Found\n", "it is text"),
        "page.jpg": (b"\n<!DOCTYPE html><title>403</title>", "it is a web page"),
        "report.jpg": (b"%PDF-1.7\n" + bytes(99), "it is a PDF"),
        "phone.jpg": (box.replace(b"%s", b"heic"), "its header is damaged or truncated"),
        "video.jpg": (box.replace(b"%s", b"isom"), "it is a video"),
        "archive.jpg": (b"PK\3\4" + bytes(99), "it is a zip archive"),
        "drawing.png": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "it is SVG"),
        "zeros.jpg": (bytes(5000), "it is zeros"),
        "answer.jpg": (b'{"error": 404}', "it is text (JSON)"),
        "new.jpg": (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(99), "it is JPEG XL"),
        "noise.jpg": (bytes(range(1, 255)), "it is not an image"),
    }


def _claims() -> Files:
    """Small files whose headers state huge sizes."""
    image = picture()
    side, sides = struct.pack("<I", CLAIMED), struct.pack(">HH", CLAIMED, CLAIMED)
    jpeg, tiff, webp = (
        save(image, "JPEG"),
        save(image, "TIFF"),
        save(image, "WEBP", save_all=True, append_images=[picture(1)]),
    )
    for tag in (256, 257):
        tiff = patched(tiff, by_hand.tiff_value(tiff, tag) - 6, struct.pack("<HII", 4, 1, CLAIMED))
    files = {
        "claims.jpg": patched(jpeg, by_hand.frame_header(jpeg) + 5, sides),
        "claims.png": png(CLAIMED, CLAIMED, 8, 2, b""),
        "claims.gif": patched(save(image, "GIF"), 6, struct.pack("<HH", CLAIMED, CLAIMED)),
        "claims-frame.gif": by_hand.gif((40, 30), [(CLAIMED, CLAIMED, image.quantize())]),
        "claims.bmp": patched(save(image, "BMP"), 18, side * 2),
        "claims.webp": patched(webp, 24, (CLAIMED - 1).to_bytes(3, "little") * 2),
        "claims.tiff": tiff,
    }
    return {name: (encoded, "too large: 60,") for name, encoded in files.items()}


def _bombs() -> Files:
    """Small files that need much work or memory."""
    image = picture()
    rows = by_hand.png_rows(np.asarray(image))
    progressive = save(image, "JPEG", progressive=True)
    last = progressive[progressive.rindex(b"\xff\xda") : -2]
    large = Image.new("P", (1500, 1500))
    lots = [picture(number) for number in range(MOST_FRAMES + 1)]
    unpacked = "larger, once decompressed, than that of any photo"
    text = {
        "profile": png_chunk_of(b"iCCP", b"sRGB\0\0"),
        "ztxt": png_chunk_of(b"zTXt", b"key\0\0"),
        "itxt": png_chunk_of(b"iTXt", b"key\0\1\0\0\0"),
    }
    frame = by_hand.gif((1, 1), [(0, 0, Image.new("P", (1, 1)).quantize(2))])
    return {
        "scans.jpg": (progressive[:-2] + last * 300 + b"\xff\xd9", "more than 100 scans"),
        "parts.jpg": (with_segments(save(image, "JPEG"), b"\xff\xfe\0\2" * 20_000), "more than 10,000 parts"),
        **{f"{name}.png": (png(40, 30, 8, 2, rows, [chunk]), unpacked) for name, chunk in text.items()},
        "frames.gif": (frame[:13] + frame[13:-1] * 50_000 + b";", "max_frames=20"),
        "large-frames.gif": (by_hand.gif((40, 30), [(0, 0, large)] * 3), "too large: its 3 frames"),
        "frames.webp": (save(image, "WEBP", save_all=True, append_images=lots), "max_frames=20"),
        "frames.png": (png_animation(MOST_FRAMES + 2), "max_frames=20"),
        "pages.tif": (save(image, "TIFF", save_all=True, append_images=lots), "max_frames=20"),
        "tiles.tiff": (by_hand.tiled_tiff(np.asarray(image.convert("L")), 9000), "too large: tiles of"),
        "heavy.jpg": (save(image, "JPEG") + bytes(MOST_FILE_BYTES), "ingest.max_file_mb"),
    }


def png_chunk_of(kind: bytes, start: bytes) -> bytes:
    return by_hand.png_chunk(kind, start + packed(bytes(BOMB_BYTES)))


def _broken() -> Files:
    jpeg, image = save(picture(), "JPEG"), picture()
    header = by_hand.frame_header(jpeg)
    uneven = patched(patched(patched(jpeg, header + 11, b"\x31"), header + 14, b"\x21"), header + 17, b"\x21")
    plain = save(image, "PNG")
    return {
        **_damaged_inside(),
        "12-bit.jpg": (patched(jpeg, header + 4, b"\x0c"), "a JPEG with 12 bits per channel"),
        "uneven.jpg": (uneven, "can't be decoded"),
        "no-end.jpg": (jpeg[:-2], "its end is missing"),
        "two-headers.jpg": (jpeg[:header] + jpeg[header : header + 19] + jpeg[header:], "it describes two images"),
        "no-height.jpg": (patched(jpeg, header + 5, b"\0\0"), "the size is missing"),
        "checksum.png": (patched(plain, plain.index(b"IDAT") + 30, b"\xff\0\xff\0"), "can't be decoded"),
        "long.png": (
            png(1_000_001, 1, 8, 0, bytes(1_000_002)),
            "too long: TensorFlow can't decode a png of 1,000,001 x 1 pixels",
        ),
        "float.tiff": (save(image.convert("F"), "TIFF"), "more than 16 bits"),
        "raw.tiff": (by_hand.retagged(save(image, "TIFF"), 278, 50706, 1), "raw file (DNG)"),
        "garbage.webp": (b"RIFF\x40\0\0\0WEBPVP8 " + zlib.compress(bytes(99)) + b"\x9d" * 80, "damaged"),
    }


def _damaged_inside() -> Files:
    """JPEGs whose header and end are right."""
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8))
    jpeg, progressive = save(image, "JPEG"), save(image, "JPEG", progressive=True)
    cmyk, restarts = save(image.convert("CMYK"), "JPEG"), save(image, "JPEG", restart_marker_blocks=1)
    half = len(jpeg) // 2
    return {
        "ends-early.jpg": (jpeg[:half] + END, "damaged inside: libjpeg reports 'premature end of data segment'"),
        "zeros-inside.jpg": (jpeg[:half] + bytes(1000) + jpeg[half + 1000 :], "damaged inside"),
        "left-over.jpg": (jpeg[:-2] + bytes(60) + END, "extraneous bytes before marker'"),
        "progressive-ends-early.jpg": (progressive[: len(progressive) // 2] + END, "damaged inside"),
        "cmyk-ends-early.jpg": (cmyk[: len(cmyk) // 2] + END, "damaged inside"),
        "lost-restart.jpg": (restarts.replace(b"\xff\xd3", b"\xff\xd6", 1), "instead of RST3'"),
    }


def valid() -> dict[str, bytes]:
    """Make one valid file of every format and of each way that it is read."""
    names = (
        *("plain.jpg", "progressive.jpg", "cmyk.jpg", "mpo.jpg", "exif-6.jpg", "plain.png", "palette.png"),
        *("interlaced.png", "16-bit.png", "animated.png", "plain.gif", "animated.gif", "plain.bmp", "palette.bmp"),
        *(
            "rle.bmp",
            "lossy.webp",
            "lossless.webp",
            "animated.webp",
            "plain.tiff",
            "lzw.tif",
            "plain.avif",
            "plain.heic",
        ),
    )
    return {name: usable()[name][0] for name in names}


def _truncated() -> Files:
    """Cut files off in the middle, and just before their end."""
    names = ("plain.jpg", "progressive.jpg", "cmyk.jpg", "plain.png", "animated.gif", "plain.bmp", "lossy.webp")
    files = valid()
    cuts = {f"half-{name}": files[name][: len(files[name]) // 2] for name in (*names, "plain.tiff", "plain.avif")}
    cuts |= {f"cut-{name}": files[name][:-3] for name in (*names, "plain.avif")}
    return {name: (encoded, "truncated") for name, encoded in cuts.items()}
