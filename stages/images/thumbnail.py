"""Thumbnails: small JPEGs of encoded photos."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from slimline.stages.images.orientation import read_orientation, upright

SIDE_PX = 160
QUALITY = 80
EXIF = b"\xff\xe1"
"""The marker of the segment that holds EXIF."""


def thumbnail(encoded: bytes, side_px: int = SIDE_PX) -> bytes:
    """Return an encoded photo as an upright JPEG, with sides of at most `side_px`.

    Raises:
        OSError, ValueError: Pillow can't read the photo; on damaged ones it raises other kinds of errors too.
    """
    with Image.open(io.BytesIO(encoded)) as image:
        image.draft("RGB", (2 * side_px, 2 * side_px))
        small = image.convert("RGB")
        small.thumbnail((side_px, side_px))
    if EXIF in encoded:  # an exact check takes 20 ms
        # Not Pillow's `exif_transpose`: it reads XMP and PNG metadata too, which the network's input doesn't apply.
        small = Image.fromarray(upright(np.asarray(small), read_orientation(encoded)).numpy())
    made = io.BytesIO()
    small.save(made, "JPEG", quality=QUALITY)
    return made.getvalue()
