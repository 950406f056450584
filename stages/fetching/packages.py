"""Files that installed Python packages ship."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from slimline.pipeline.errors import UserError

DISTRIBUTIONS = {"sklearn": "scikit-learn"}
"""Names for pip, where they differ from the package's own name with hyphens."""


def package_file(package: str, inside: str) -> Path:
    """Return the path of a file that an installed package ships, without importing the package.

    Raises:
        UserError: the package isn't installed, or has no such file.
    """
    spec = importlib.util.find_spec(package)
    path = Path(spec.origin).parent / inside if spec and spec.origin else None
    if path is None or not path.is_file():
        name = distribution_name(package)
        raise UserError(f"The file {inside} of the package {name} isn't installed.", f"Install it: pip install {name}")
    return path


def distribution_name(package: str) -> str:
    """Return the name to give to `pip install` for a package that is imported as `package`."""
    return DISTRIBUTIONS.get(package, package.replace("_", "-"))
