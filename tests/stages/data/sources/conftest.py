"""Fixtures: a separate cache for each test, and fsspec's file system in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SLIMLINE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def memory() -> Iterator[Any]:
    """Yield fsspec's file system in memory, empty."""
    system = fsspec.filesystem("memory")
    system.store.clear()
    system.pseudo_dirs[:] = [""]
    yield system
    system.store.clear()


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list to which the names of files are added that are copied from memory."""
    from fsspec.implementations.memory import MemoryFileSystem

    names: list[str] = []
    real = MemoryFileSystem.get_file

    def counted(self: Any, name: str, *others: Any, **more: Any) -> Any:
        names.append(name)
        return real(self, name, *others, **more)

    monkeypatch.setattr(MemoryFileSystem, "get_file", counted)
    return names
