"""Thumbnails of photos, as `data:` URLs for a page."""

from __future__ import annotations

import base64
from pathlib import Path


def thumbnails(folder: Path, split: str, wanted: set[str]) -> dict[str, str]:
    """Return thumbnails of the wanted photos of a split, as `data:` URLs by sha256, upright, at most 160 px a side."""
    # Imported here because these modules import TensorFlow, and the dataset page uses only `address`.
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
    """Return the `data:` URL of a JPEG."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()
