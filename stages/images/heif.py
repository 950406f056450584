"""HEIC and the other HEIF images, which Pillow opens with the package pillow-heif."""

from __future__ import annotations

from functools import cache


@cache
def can_read_heif() -> bool:
    """Return whether HEIF images can be read; from then on Pillow opens them, upright.

    The image is turned as the container says, which pillow-heif applies; by the standard, EXIF's copy of the
    orientation has no effect.
    Source: ISO/IEC 23008-12, annex A.2.4
    """
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener(decode_threads=1, thumbnails=False)
    return True
