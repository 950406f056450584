from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import slimline
from slimline.pipeline import environment
from slimline.pipeline.environment import describe_environment, git_state, plugin_versions

Git = Callable[..., str]


@pytest.fixture
def git() -> Git:
    """Return a function that runs git in a folder, with a neutral user name, and returns its output."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")

    def run(folder: Path, *arguments: str) -> str:
        about = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.com"]
        done = subprocess.run(["git", *about, *arguments], cwd=folder, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    return run


def make_copy(root: Path, monkeypatch: pytest.MonkeyPatch, *folders: str) -> Path:
    """Make Slimline appear to run from the folder `root`, which contains `folders`."""
    for name in ("slimline/pipeline", *folders):
        (root / name).mkdir(parents=True)
    (root / "slimline" / "pipeline" / "environment.py").write_text("")
    monkeypatch.setattr(environment, "__file__", str(root / "slimline" / "pipeline" / "environment.py"))
    return root


def commit_all(git: Git, root: Path) -> str:
    git(root, "init", "--quiet")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "--message", "all")
    return git(root, "rev-parse", "HEAD")


def install(site_packages: Path, name: str, version: str, group: str) -> None:
    """Write the metadata of an installed distribution that has entry points in a group."""
    about = site_packages / f"{name.replace('-', '_')}-{version}.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (about / "entry_points.txt").write_text(f"[{group}]\nwide = no_such_module:wide\nnarrow = no_such_module:narrow\n")


def test_the_environment_describes_versions_and_machine() -> None:
    found = describe_environment()
    assert found["slimline"] == slimline.__version__
    assert found["working_directory"] == os.getcwd()
    assert found["python"].startswith("3.")
    assert {"hydra-core", "omegaconf", "filelock"} <= set(found["versions"])
    assert found["plugins"] == plugin_versions()
    assert found["cpus"] >= 1
    assert found["git"] is None or len(found["git"]["commit"]) == 40
    assert json.loads(json.dumps(found)) == found


def test_a_checkout_has_its_commit_and_uncommitted_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, git: Git
) -> None:
    root = make_copy(tmp_path / "checkout", monkeypatch, "conf", "pipeline")
    commit = commit_all(git, root)
    assert git_state() == {"commit": commit, "uncommitted_diff": ""}
    (root / "slimline" / "pipeline" / "environment.py").write_text("changed\n")
    state = git_state()
    assert state
    assert "+changed" in state["uncommitted_diff"].splitlines()


def test_an_installed_copy_has_no_commit_whatever_repository_it_is_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, git: Git
) -> None:
    commit_all(git, make_copy(tmp_path / "site-packages", monkeypatch))
    assert git_state() is None


def test_a_checkout_inside_another_repository_has_no_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, git: Git
) -> None:
    make_copy(tmp_path / "vendored", monkeypatch, "conf", "pipeline")
    commit_all(git, tmp_path)
    assert git_state() is None


def test_a_copy_of_the_tree_without_a_repository_has_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_copy(tmp_path, monkeypatch, "conf", "pipeline")
    assert git_state() is None


def test_plug_ins_are_distributions_with_entry_points_in_our_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = plugin_versions()
    install(tmp_path, "leaf-heads", "1.2", "slimline.heads")
    install(tmp_path, "herbarium", "0.3.1", "slimline.sources")
    install(tmp_path, "unrelated", "9.0", "console_scripts")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert plugin_versions() == dict(sorted({**before, "herbarium": "0.3.1", "leaf-heads": "1.2"}.items()))
    assert list(plugin_versions()) == sorted(plugin_versions())
