"""What only the release tier runs: `tests/check.sh --release` sets `SLIMLINE_RELEASE_TESTS=1`."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from typing import Any

import pytest

RELEASE = os.environ.get("SLIMLINE_RELEASE_TESTS") == "1"


def release(values: Iterable[Any], only_release: Collection[Any]) -> list[Any]:
    """Return the values of a parametrized test, with those of the second argument marked `release`."""
    rows = [value if isinstance(value, tuple) else (value,) for value in values]
    chosen = [value if isinstance(value, tuple) else (value,) for value in only_release]
    assert all(row in rows for row in chosen)
    return [pytest.param(*row, marks=pytest.mark.release if row in chosen else ()) for row in rows]
