"""Small pictures of photos, as data addresses for a page."""

from __future__ import annotations

import base64
import io
from pathlib import Path

SIDE_PX = 160
EXIF = b"\xff\xe1"
"""The marker of the segment that holds EXIF."""


def thumbnails(folder: Path, split: str, wanted: set[str]) -> dict[str, str]:
    """Return `data:` addresses of a split's wanted photos, by sha256, upright, each at most 160 px a side."""
    from slimline.stages.data.storing.records import read_records
    from slimline.stages.images.batches import without_autotune

    found: dict[str, str] = {}
    if not wanted:
        return found
    for record in read_records(folder, split).with_options(without_autotune()):
        sha256 = record["sha256"].numpy().decode()
        if sha256 in wanted:
            found[sha256] = thumbnail(record["encoded"].numpy())
            if len(found) == len(wanted):
                break
    return found


def thumbnail(encoded: bytes, side_px: int = SIDE_PX) -> str:
    """Return the `data:` address of an encoded photo, upright, at most `side_px` a side."""
    import numpy as np
    from PIL import Image

    from slimline.stages.images.orientation import read_orientation, upright

    with Image.open(io.BytesIO(encoded)) as image:
        image.draft("RGB", (2 * side_px, 2 * side_px))
        small = image.convert("RGB")
        small.thumbnail((side_px, side_px))
    if EXIF in encoded:  # to look closer takes 20 ms
        # Not Pillow's `exif_transpose`: that heeds XMP and PNGs too, and the network wouldn't see the same.
        small = Image.fromarray(upright(np.asarray(small), read_orientation(encoded)).numpy())
    made = io.BytesIO()
    small.save(made, "JPEG", quality=80)
    return address(made.getvalue())


def address(jpeg: bytes) -> str:
    """Return the `data:` address of a JPEG."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()
