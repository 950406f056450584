"""Thumbnails of the photos of a split, as `data:` URLs."""

from __future__ import annotations

import base64

import numpy as np
from PIL import Image

from slimline.stages.data.storing.records import Record, serialize, write_shard
from slimline.stages.images.thumbnail import thumbnail
from slimline.stages.pages.thumbnails import thumbnails


def test_the_wanted_photos_of_a_split_are_found(tmp_path):
    photos = {}
    for number, name in enumerate(("a", "b", "unwanted")):
        Image.fromarray(np.full((30, 40, 3), 40 * number, np.uint8)).save(tmp_path / "photo.jpg")
        photos[name] = (tmp_path / "photo.jpg").read_bytes()
    examples = [serialize(Record(data, "jpeg", 0, "x", 30, 40, name.encode(), name)) for name, data in photos.items()]
    write_shard(tmp_path / "test-00000-of-00001.tfrecord", examples)
    found = thumbnails(tmp_path, "test", {"a", "b"})
    decoded = {name: base64.b64decode(one.removeprefix("data:image/jpeg;base64,")) for name, one in found.items()}
    assert decoded == {name: thumbnail(photos[name]) for name in ("a", "b")}


def test_without_wanted_photos_nothing_is_read(tmp_path):
    assert thumbnails(tmp_path / "absent", "test", set()) == {}
