"""Where the real photos, weights and reference outputs lie, for the tests that want them."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).parent.parent.parent / "shared"


def shared(inside: str) -> Path:
    """Return a path of the shared data, or skip the test where it is absent."""
    path = SHARED / inside
    if not path.exists():
        pytest.skip(f"{inside} isn't on this machine")
    return path


@pytest.fixture(scope="session")
def imagenet_photos() -> Path:
    return shared("data/imagenet_photos")


@pytest.fixture(scope="session")
def flower_photos() -> Path:
    return shared("data/flower_photos")
