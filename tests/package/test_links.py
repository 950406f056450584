"""A checkout whose links git wrote as text files, as on Windows without permission to create links."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARTS = ("conf", "pipeline", "stages")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the tree, with text files instead of the links."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in PARTS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "slimline").mkdir()
    for path in (ROOT / "slimline").glob("*.py"):
        shutil.copy(path, folder / "slimline")
    for name in PARTS:
        (folder / "slimline" / name).write_text(f"../{name}", encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    "command",
    [("-m", "pipeline", "--help"), ("-m", "slimline", "--help"), ("-c", "import slimline.stages.table")],
    ids=lambda command: command[1],
)
def test_the_first_command_says_in_one_line_what_to_do(checkout: Path, command: tuple[str, ...]) -> None:
    environment = {**os.environ, "PYTHONPATH": str(checkout), "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, *command], cwd=checkout, env=environment, capture_output=True, text=True, timeout=60
    )
    errors = done.stderr.splitlines()
    assert done.returncode != 0
    assert done.stdout == ""
    assert f"{checkout / 'slimline' / 'conf'} is not a link to the folder ../conf." in errors[-1]
    assert "`git config core.symlinks true` and `git checkout -- slimline`" in errors[-1]
    if command[0] == "-m":
        assert len(errors) == 1


def test_real_links_are_accepted(checkout: Path, tmp_path: Path) -> None:
    shutil.copytree(checkout, tmp_path / "checkout")
    for name in PARTS:
        (tmp_path / "checkout" / "slimline" / name).unlink()
        (tmp_path / "checkout" / "slimline" / name).symlink_to(f"../{name}")
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "--help"],
        cwd=tmp_path / "checkout",
        env={**os.environ, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
