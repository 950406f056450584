"""The list of installed distributions: as importlib.metadata reads it, and read again when something is installed."""

from __future__ import annotations

import importlib.metadata
import json
import sys
from pathlib import Path

import pytest

from slimline.pipeline.installed import packages_distributions


def install(site: Path, name: str, *packages: str) -> Path:
    folder = site / f"{name}-1.0.dist-info"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (folder / "RECORD").write_text("".join(f"{package}/__init__.py,,\n" for package in packages))
    return folder


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that is the only place where distributions are found."""
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site")])
    install(tmp_path / "site", "Alpha", "alpha", "shared")
    return tmp_path / "site"


def test_it_is_the_list_of_importlib(tmp_path: Path) -> None:
    memory = tmp_path / "store" / "installed.json"
    first, second = packages_distributions(memory), packages_distributions(memory)
    assert {name: sorted(found) for name, found in first.items()} == {
        name: sorted(found) for name, found in importlib.metadata.packages_distributions().items()
    }
    assert second == first
    assert [path.name for path in memory.parent.iterdir()] == ["installed.json"]


def test_what_is_known_is_not_read_again(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = tmp_path / "installed.json"
    known = packages_distributions(memory)
    monkeypatch.setattr(importlib.metadata, "packages_distributions", lambda: pytest.fail("read again"))
    assert packages_distributions(memory) == known == {"alpha": ["Alpha"], "shared": ["Alpha"]}


def test_a_change_of_the_installed_distributions_is_seen(site: Path, tmp_path: Path) -> None:
    memory = tmp_path / "installed.json"
    packages_distributions(memory)
    beta = install(site, "beta", "shared")
    assert sorted(packages_distributions(memory)["shared"]) == ["Alpha", "beta"]
    (beta / "RECORD").write_text("beta/__init__.py,,\nbeta/more.py,,\n")
    assert packages_distributions(memory) == {"alpha": ["Alpha"], "shared": ["Alpha"], "beta": ["beta"]}
    for path in beta.iterdir():
        path.unlink()
    beta.rmdir()
    assert packages_distributions(memory) == {"alpha": ["Alpha"], "shared": ["Alpha"]}


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null", json.dumps({"state": "another", "packages": {}})])
def test_a_damaged_or_old_file_is_replaced(site: Path, tmp_path: Path, text: str) -> None:
    memory = tmp_path / "installed.json"
    memory.write_text(text)
    assert packages_distributions(memory) == {"alpha": ["Alpha"], "shared": ["Alpha"]}
    assert json.loads(memory.read_text())["packages"] == {"alpha": ["Alpha"], "shared": ["Alpha"]}
