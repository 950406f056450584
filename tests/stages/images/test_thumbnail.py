"""Thumbnails: small, and with the same orientation as the network's input."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from slimline.stages.images.thumbnail import thumbnail

XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r tiff:Orientation="6"/></x:xmpmeta>'


def saved(kind: str, orientation: int, xmp: bytes = b"", mode: str = "RGB") -> bytes:
    """Draw a photo, 400 by 300, whose left half is red and right half blue."""
    pixels = np.zeros((300, 400, 3), np.uint8)
    pixels[:, :200, 0] = pixels[:, 200:, 2] = 250
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, kind, exif=exif, **({"xmp": xmp} if xmp else {}))
    return file.getvalue()


LEFT, TOP, RIGHT = [True, False, True, False], [True, True, False, False], [False, True, False, True]


@pytest.mark.parametrize(
    ("encoded", "shape", "red_corners"),
    [
        pytest.param(saved("JPEG", 1), (120, 160, 3), LEFT, id="upright"),
        pytest.param(saved("JPEG", 6), (160, 120, 3), TOP, id="clockwise"),
        pytest.param(saved("JPEG", 3), (120, 160, 3), RIGHT, id="half"),
        pytest.param(saved("JPEG", 0, XMP), (120, 160, 3), LEFT, id="xmp"),
        pytest.param(saved("PNG", 6), (120, 160, 3), LEFT, id="png"),
        pytest.param(saved("PNG", 0, mode="RGBA"), (120, 160, 3), LEFT, id="alpha"),
    ],
)
def test_a_thumbnail_has_the_orientation_of_the_networks_input(encoded, shape, red_corners):
    image = np.asarray(Image.open(io.BytesIO(thumbnail(encoded))))
    assert image.shape == shape
    found = [bool(image[row, column, 0] > 150) for row, column in ((8, 8), (8, -8), (-8, 8), (-8, -8))]
    assert found == red_corners


def test_it_is_as_small_as_asked_and_never_enlarged():
    encoded = saved("JPEG", 6)
    assert Image.open(io.BytesIO(thumbnail(encoded, 40))).size == (30, 40)
    assert Image.open(io.BytesIO(thumbnail(encoded, 4000))).size == (300, 400)
    assert Image.open(io.BytesIO(thumbnail(encoded, 40))).format == "JPEG"
