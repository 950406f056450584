"""Usable photos of every kind that folders hold, by name, and whether they are re-encoded."""

from __future__ import annotations

import base64
import functools

import numpy as np
from PIL import Image, ImageDraw

from slimline.stages.images.heif import can_read_heif
from tests.stages.data.checking import handmade as by_hand
from tests.stages.data.checking.handmade import exif, patched, png, save, segment, with_segments

USED, REENCODED = "used", "reencoded"
END = b"\xff\xd9"
BOMB_BYTES = 100_000_000
Files = dict[str, tuple[bytes, str]]

ARITHMETIC = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAA0JCgsKCA0LCgsODg0PEyAVExISEyccHhcgLikxMC4pLSwzOko+MzZGNywtQFdBRkxOUlNSMj5aYVpQ"
    "YEpRUk//2wBDAQ4ODhMREyYVFSZPNS01T09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT0//yQARCAAYACAD"
    "ASIAAhEBAxEB/8wACgAQEAUBEBEF/9oADAMBAAIRAxEAPwD/AJMVie7cFdCAP92d8vLmMNldidc+oUqMYanlKaD3DOqSE8QyfDEffsx55ppdmu5k"
    "Sya+MIANHqbp3Mw8RjENLQXusyGC69fImm5m5JLqTTG6bWnc7i01gP/Z"
)
"""Written by libjpeg-turbo 2.1 with `arith_code`; Pillow can't write such files."""


def picture(seed: int = 0, width: int = 40, height: int = 30) -> Image.Image:
    """Draw a picture that differs in each orientation, and is smooth enough for lossy formats to keep it."""
    image = Image.linear_gradient("L").resize((width, height)).convert("RGB")
    draw = ImageDraw.Draw(image)
    draw.rectangle((2, 3, width // 3, height // 2), fill=(220, 30, 40 * seed % 256))
    draw.rectangle((width // 2, height // 2, width - 4, height - 9), fill=(20, 90 + 50 * seed % 160, 200))
    return image


@functools.cache
def usable() -> Files:
    """Make all photos: the bytes, and USED or REENCODED (and used)."""
    return {**_jpegs(), **_exif_jpegs(), **_pngs(), **_others(), **_heifs()}


def _jpegs() -> Files:
    image = picture()
    plain = save(image, "JPEG", quality=90)
    cmyk = save(image.convert("CMYK"), "JPEG")
    return {
        "plain.jpg": (plain, USED),
        "few-bytes-left-over.jpg": (plain[:-2] + bytes(12) + END, REENCODED),
        "jfif-2.jpg": (patched(plain, plain.index(b"JFIF\0") + 5, b"\2"), REENCODED),
        "gray.jpg": (save(image.convert("L"), "JPEG"), USED),
        "progressive.jpg": (save(image, "JPEG", progressive=True), USED),
        "optimized.jpg": (save(image, "JPEG", optimize=True, subsampling=2), USED),
        "restarts.jpg": (save(image, "JPEG", restart_marker_blocks=1), USED),
        "rgb.jpg": (save(image, "JPEG", keep_rgb=True), USED),
        "cmyk.jpg": (cmyk, USED),
        "ycck.jpg": (patched(cmyk, cmyk.index(b"Adobe") + 11, b"\2"), USED),
        "arithmetic.jpg": (ARITHMETIC, USED),
        "mpo.jpg": (save(image, "MPO", save_all=True, append_images=[picture(9)]), USED),
        "garbage-behind.jpg": (plain + b"\xff\xda\xff\xd8video" * 5000, USED),
        "progressive-garbage.jpg": (save(image, "JPEG", progressive=True) + b"\0\0" + b"\xff\xda\0\2" * 5000, USED),
        "fill.jpg": (plain[:2] + b"\xff" * 5000 + plain[2:], USED),
        "comments.jpg": (with_segments(plain, *[segment(0xFE, b"x" * 65000)] * 20), USED),
        "one-pixel.jpg": (save(Image.new("RGB", (1, 1), (9, 9, 9)), "JPEG"), USED),
        "tall.jpg": (save(picture(1, 30, 9_000).resize((1, 10_000)), "JPEG"), USED),
        "wide.jpg": (save(picture(2, 9_000, 30).resize((65_500, 1)), "JPEG"), USED),
        "one-color.jpg": (save(Image.new("RGB", (64, 48), (200, 30, 90)), "JPEG"), USED),
        "named.png": (save(picture(3), "JPEG"), USED),
    }


def _exif_jpegs() -> Files:
    plain = save(picture(4), "JPEG")
    turned = {f"exif-{value}.jpg": with_segments(plain, exif([(0x112, 3, 1, value)])) for value in range(1, 9)}
    odd = {
        **{f"exif-odd-{value}.jpg": [exif([(0x112, 3, 1, value)])] for value in (0, 9, 65535)},
        "exif-big-endian.jpg": [exif([(0x112, 3, 1, 6)], ">")],
        "exif-long.jpg": [exif([(0x112, 4, 1, 6)])],
        "exif-twice.jpg": [exif([(0x112, 3, 1, 3)]), exif([(0x112, 3, 1, 6)])],
        "exif-huge-count.jpg": [exif([(0x112, 3, 1, 6)], count=65535)],
        "exif-huge-value.jpg": [exif([(0x112, 3, 0xFFFFFFFF, 6), (0x8769, 4, 1, 8)])],
        "exif-loop.jpg": [exif([(0x8769, 4, 1, 8), (0x112, 3, 1, 6)])],
        "exif-far.jpg": [exif([(0x112, 3, 1, 6)], directory=0x7FFFFFFF)],
        "exif-empty.jpg": [segment(0xE1, b"Exif\0\0")],
        "exif-after-garbage.jpg": [segment(0xFE, b"x"), b"\0garbage", exif([(0x112, 3, 1, 6)])],
        "xmp-turned.jpg": [segment(0xE1, b'http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation="6"/>'), exif([])],
        "mpf-damaged.jpg": [segment(0xE2, b"MPF\0II*\0\xff\xff\xff\xff\xff\xff")],
    }
    files = turned | {name: with_segments(plain, *segments) for name, segments in odd.items()}
    expected = {"exif-after-garbage.jpg": REENCODED}  # libjpeg would print that it skips the garbage
    return {name: (encoded, expected.get(name, USED)) for name, encoded in files.items()}


def _pngs() -> Files:
    image = picture(5)
    alpha = image.copy()
    alpha.putalpha(Image.linear_gradient("L").resize(image.size))
    pixels = np.asarray(image)
    deep = pixels.astype(np.uint16) * 257
    animation = png_animation(5)
    turned = Image.Exif()
    turned[0x112] = 6
    files = {
        "plain.png": save(image, "PNG"),
        "palette.png": save(image.quantize(16), "PNG"),
        "palette-alpha.png": save(image.quantize(16), "PNG", transparency=bytes(range(0, 256, 16))),
        "alpha.png": save(alpha, "PNG"),
        "gray-alpha.png": save(alpha.convert("LA"), "PNG"),
        "one-bit.png": save(image.convert("1"), "PNG"),
        "16-bit-gray.png": png(40, 30, 16, 0, by_hand.png_rows(deep[..., 0])),
        "16-bit.png": png(40, 30, 16, 2, by_hand.png_rows(deep)),
        "interlaced.png": by_hand.interlaced_png(pixels),
        "animated.png": animation,
        "exif.png": save(image, "PNG", exif=turned),
        "text.png": png(40, 30, 8, 2, by_hand.png_rows(pixels), [by_hand.png_chunk(b"tEXt", b"k\0" + b"v" * 500_000)]),
        "mnist.png": save(image.convert("L").resize((28, 28)), "PNG"),
        "behind.png": save(image, "PNG") + b"garbage" * 1000,
        "too-much.png": png(40, 30, 8, 2, by_hand.png_rows(pixels) + bytes(BOMB_BYTES)),
        "named.jpg": save(picture(6), "PNG"),
    }
    return {name: (encoded, USED) for name, encoded in files.items()}


def png_animation(frames: int) -> bytes:
    return save(picture(5), "PNG", save_all=True, append_images=[picture(6 + number) for number in range(frames - 1)])


def _others() -> Files:
    image = picture(7)
    alpha = image.copy()
    alpha.putalpha(128)
    pixels, palette = np.asarray(image), image.quantize(16)
    colors = b"".join(bytes((*color[::-1], 0)) for color in np.reshape(palette.getpalette()[:48], (16, 3)).tolist())
    more = [picture(8 + number) for number in range(4)]
    turned = Image.Exif()
    turned[0x112] = 6
    tiff = {"compression": "tiff_lzw"}
    animation = save(image, "WEBP", save_all=True, append_images=more)
    return {
        "plain.gif": (save(palette, "GIF"), USED),
        "transparent.gif": (save(palette, "GIF", transparency=0), REENCODED),
        "animated.gif": (save(image, "GIF", save_all=True, append_images=more), USED),
        "part-of-screen.gif": (by_hand.gif((60, 50), [(10, 10, palette)]), REENCODED),
        "no-trailer.gif": (save(palette, "GIF")[:-1], USED),
        "plain.bmp": (save(image, "BMP"), USED),
        "palette.bmp": (save(palette, "BMP"), REENCODED),
        "one-bit.bmp": (save(image.convert("1"), "BMP"), REENCODED),
        "32-bit.bmp": (save(alpha, "BMP"), USED),
        "rle.bmp": (by_hand.rle_bmp(np.asarray(palette), colors), REENCODED),
        "top-down.bmp": (by_hand.top_down_bmp(pixels), USED),
        "os2.bmp": (by_hand.core_bmp(pixels), REENCODED),
        "lossy.webp": (save(image, "WEBP"), USED),
        "lossless.webp": (save(image, "WEBP", lossless=True), USED),
        "alpha.webp": (save(alpha, "WEBP", lossless=True), REENCODED),
        "animated.webp": (animation, REENCODED),
        "canvas.webp": (patched(animation, 24, (99_999).to_bytes(3, "little") + (39).to_bytes(3, "little")), REENCODED),
        "exif.webp": (save(image, "WEBP", exif=turned), REENCODED),
        "plain.tiff": (save(image, "TIFF"), REENCODED),
        "lzw.tif": (save(image, "TIFF", **tiff), REENCODED),
        "jpeg.tiff": (save(image, "TIFF", compression="jpeg"), REENCODED),
        "16-bit.tiff": (save(Image.fromarray(pixels[..., 0].astype(np.uint16) * 257), "TIFF"), REENCODED),
        "cmyk.tiff": (save(image.convert("CMYK"), "TIFF", **tiff), REENCODED),
        "fax.tiff": (save(image.convert("1"), "TIFF", compression="group4"), REENCODED),
        "tiled.tiff": (by_hand.tiled_tiff(pixels[..., 0], 64), REENCODED),
        "pages.tiff": (save(image, "TIFF", save_all=True, append_images=more), REENCODED),
        "exif.tiff": (save(image, "TIFF", exif=turned), REENCODED),
        "plain.avif": (save(image, "AVIF"), REENCODED),
        "mif1.avif": (patched(save(image, "AVIF"), 4, b"ftypmif1"), REENCODED),
        "animated.avif": (save(image, "AVIF", save_all=True, append_images=more), REENCODED),
        "exif.avif": (save(image, "AVIF", exif=turned), REENCODED),
    }


def _heifs() -> Files:
    """Make HEIF files, as phones write them; the package pillow-heif belongs to the extra `dev`."""
    assert can_read_heif()
    image = picture(9, 80, 60)
    alpha = image.copy()
    alpha.putalpha(128)
    turned = Image.Exif()
    turned[0x112] = 6
    plain = save(image, "HEIF")
    files = {
        "plain.heic": plain,
        "named.jpg.HEIC": save(picture(12, 80, 60), "HEIF"),
        "mif1.heif": patched(plain, 8, b"mif1"),
        "turned.heic": save(image, "HEIF", exif=turned.tobytes()),
        "burst.heic": save(
            image, "HEIF", save_all=True, append_images=[picture(number, 80, 60) for number in (10, 11)]
        ),
        "alpha.heic": save(alpha, "HEIF"),
        "gray.hif": save(image.convert("L"), "HEIF"),
        "deep.heic": save(Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257), "HEIF"),
    }
    return {name: (encoded, REENCODED) for name, encoded in files.items()}
