"""Small pictures of photos, as data addresses for a page."""

from __future__ import annotations

import base64
from pathlib import Path


def thumbnails(folder: Path, split: str, wanted: set[str]) -> dict[str, str]:
    """Return `data:` addresses of a split's wanted photos, by sha256, upright, each at most 160 px a side."""
    # Here and not at the top: these import TensorFlow, and the data set's page needs addresses only.
    from slimline.stages.data.storing.records import read_records
    from slimline.stages.images.batches import without_autotune
    from slimline.stages.images.thumbnail import thumbnail

    found: dict[str, str] = {}
    if not wanted:
        return found
    for record in read_records(folder, split).with_options(without_autotune()):
        sha256 = record["sha256"].numpy().decode()
        if sha256 in wanted:
            found[sha256] = address(thumbnail(record["encoded"].numpy()))
            if len(found) == len(wanted):
                break
    return found


def address(jpeg: bytes) -> str:
    """Return the `data:` address of a JPEG."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()
