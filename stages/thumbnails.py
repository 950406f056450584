"""Small pictures of stored photos, as data addresses for a page."""

from __future__ import annotations

import base64
import io
from pathlib import Path

SIDE_PX = 160


def thumbnails(folder: Path, split: str, wanted: set[str]) -> dict[str, str]:
    """Return `data:` addresses of a split's wanted photos, by sha256, upright, each at most 160 px a side."""
    import numpy as np
    from PIL import Image

    from stages.data.batches import without_autotune
    from stages.data.orientation import read_orientation, upright
    from stages.data.records import read_records

    found: dict[str, str] = {}
    if not wanted:
        return found
    for record in read_records(folder, split).with_options(without_autotune()):
        sha256 = record["sha256"].numpy().decode()
        if sha256 in wanted:
            with Image.open(io.BytesIO(record["encoded"].numpy())) as image:
                image.draft("RGB", (2 * SIDE_PX, 2 * SIDE_PX))
                small = image.convert("RGB")
                small.thumbnail((SIDE_PX, SIDE_PX))
            # Not Pillow's `exif_transpose`: that heeds XMP and PNGs too, and the network wouldn't see the same.
            turned = upright(np.asarray(small), read_orientation(record["encoded"])).numpy()
            encoded = io.BytesIO()
            Image.fromarray(turned).save(encoded, "JPEG", quality=80)
            found[sha256] = "data:image/jpeg;base64," + base64.b64encode(encoded.getvalue()).decode()
            if len(found) == len(wanted):
                break
    return found
