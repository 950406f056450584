"""Helpers that check files as ingest does, and decode pictures as the network and Pillow do."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from slimline.stages.backend.tensorflow import tf
from slimline.stages.data.checking.checks import Checked, Limits, check_photos
from slimline.stages.data.sources.photo import Photo
from slimline.stages.images.orientation import read_orientation, upright
from slimline.stages.images.preprocessing_config import Preprocessing
from tests.stages.data.checking.hostile import MOST_FILE_BYTES, MOST_FRAMES, MOST_PIXELS

LIMITS = Limits(MOST_PIXELS, MOST_FRAMES, MOST_FILE_BYTES)
WANTED = Preprocessing(input_px=32, offset=127.5, scale=127.5)
NEVER_TURNED = {
    *("exif-long.jpg", "exif-huge-count.jpg", "exif-huge-value.jpg", "exif-after-garbage.jpg"),
    *("xmp-turned.jpg", "exif.png"),
}
"""Pillow applies the orientation of these, at least in some versions; `read_orientation` ignores it as malformed."""


def check(encoded: bytes, file: Path, name: str = "a.jpg") -> Checked:
    file.write_bytes(encoded)
    [found] = check_photos([Photo(name, "ant", str(file))], LIMITS)
    return found


def as_seen_by_the_network(encoded: bytes) -> np.ndarray:
    """Decode an image as training does, without resizing, upright: [height, width, 3] uint8."""
    image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
    return upright(image, read_orientation(encoded)).numpy()


def as_shown(name: str, encoded: bytes) -> np.ndarray:
    """Decode an image as Pillow shows it, upright: [height, width, 3] uint8."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image: Image.Image = Image.open(io.BytesIO(encoded))
        image.load()
        if image.mode.startswith("I;16"):
            return np.repeat((np.asarray(image) // 257).astype(np.uint8)[..., None], 3, axis=2)
        return np.asarray((image if name in NEVER_TURNED else ImageOps.exif_transpose(image)).convert("RGB"))
