"""Thumbnails: small, and the same way up as the network sees the photo."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from slimline.stages.data.storing.records import Record, serialize, write_shard
from slimline.stages.pages.thumbnails import thumbnails


def saved(kind: str, orientation: int, xmp: bytes = b"") -> bytes:
    """Draw a photo, 400 by 300, whose left half is red and right half blue."""
    pixels = np.zeros((300, 400, 3), np.uint8)
    pixels[:, :200, 0] = pixels[:, 200:, 2] = 250
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, exif=exif, **({"xmp": xmp} if xmp else {}))
    return file.getvalue()


def test_thumbnails_lie_as_the_network_sees_the_photos(tmp_path):
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r tiff:Orientation="6"/></x:xmpmeta>'
    photos = {
        "upright": saved("JPEG", 1),
        "clockwise": saved("JPEG", 6),
        "half": saved("JPEG", 3),
        "xmp": saved("JPEG", 0, xmp),
        "png": saved("PNG", 6),
        "unwanted": saved("JPEG", 2),
    }
    examples = [serialize(Record(data, "jpeg", 0, "a", 300, 400, name.encode(), name)) for name, data in photos.items()]
    write_shard(tmp_path / "test-00000-of-00001.tfrecord", examples)
    found = thumbnails(tmp_path, "test", set(photos) - {"unwanted"})
    assert set(found) == set(photos) - {"unwanted"}
    images = {
        name: np.asarray(Image.open(io.BytesIO(base64.b64decode(address.removeprefix("data:image/jpeg;base64,")))))
        for name, address in found.items()
    }
    assert {name: image.shape for name, image in images.items()} == {
        "upright": (120, 160, 3),
        "clockwise": (160, 120, 3),
        "half": (120, 160, 3),
        "xmp": (120, 160, 3),
        "png": (120, 160, 3),
    }
    red_corners = {
        name: [bool(image[row, column, 0] > 150) for row, column in ((8, 8), (8, -8), (-8, 8), (-8, -8))]
        for name, image in images.items()
    }
    left, top, right = [True, False, True, False], [True, True, False, False], [False, True, False, True]
    assert red_corners == {"upright": left, "clockwise": top, "half": right, "xmp": left, "png": left}


def test_nothing_wanted_reads_nothing(tmp_path):
    assert thumbnails(tmp_path / "absent", "test", set()) == {}
