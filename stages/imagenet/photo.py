"""One photo whose class every ImageNet network recognizes."""

from __future__ import annotations

from pathlib import Path

from slimline.stages.fetching.packages import package_file


def photo_path() -> Path:
    """Return the path of scikit-learn's china.jpg, a photo of a palace."""
    return package_file("sklearn", "datasets/images/china.jpg")
