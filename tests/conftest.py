"""Paths of real photos, weights and reference outputs, for the tests that need them."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).parent.parent.parent / "shared"


def shared(inside: str) -> Path:
    """Return a path of the shared data, or skip the test if it does not exist."""
    path = SHARED / inside
    if not path.exists():
        pytest.skip(f"{inside} is not available on this machine")
    return path


@pytest.fixture(scope="session")
def imagenet_photos() -> Path:
    return shared("data/imagenet_photos")


@pytest.fixture(scope="session")
def flower_photos() -> Path:
    return shared("data/flower_photos")
