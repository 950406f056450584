"""The order of the tests, the store that is kept between runs, and paths of real photos and weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import kept_store

SLOWEST_FIRST = (
    "commands/test_training.py",
    "api/test_flowers.py",
    "stages/test_train.py",
    "commands/test_flowers.py",
    "commands/test_crossval.py",
    "stages/test_export.py",
    "stages/networks/graphs/test_symbolic.py",
    "commands/test_bases.py",
    "stages/networks/weights/test_keras_file.py",
    "examples/test_example.py",
    "stages/networks/test_networks_training.py",
    "stages/test_features.py",
    "stages/data/checking/test_damage.py",
    "commands/test_sources.py",
    "pipeline/test_store.py",
    "commands/test_serve.py",
    "stages/networks/test_networks.py",
    "stages/networks/test_networks_keras.py",
    "stages/test_evaluate.py",
    "stages/test_fusions.py",
    "stages/networks/test_networks_outline.py",
    "pipeline/test_experiments.py",
    "stages/training/test_display.py",
    "stages/test_ingest_resume.py",
)
"""Test files, the slowest first. xdist assigns files in this order, so that no process ends with a long file."""
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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the slowest files first, without changing the order within a file."""
    places = {Path(__file__).parent / name: place for place, name in enumerate(SLOWEST_FIRST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


def pytest_sessionstart(session: pytest.Session) -> None:
    """Limit the size of the kept store before the first test process starts."""
    store = _store(session.config)
    if store and not hasattr(session.config, "workerinput"):
        kept_store.prune(store)


def _store(config: pytest.Config) -> Path | None:
    cache = getattr(config, "cache", None)  # absent with `-p no:cacheprovider`
    return cache.mkdir(kept_store.NAME) if cache else None


@pytest.fixture(scope="session")
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the store that is kept between runs, or a temporary one without pytest's cache."""
    return _store(request.config) or tmp_path_factory.mktemp(kept_store.NAME)
