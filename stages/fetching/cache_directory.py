"""The cache directory: where downloads are kept."""

from __future__ import annotations

import os
from pathlib import Path


def cache_directory() -> Path:
    """Return the folder for downloads: SLIMLINE_CACHE, or ~/.cache/slimline."""
    return Path(os.environ.get("SLIMLINE_CACHE") or "~/.cache/slimline").expanduser().absolute()
