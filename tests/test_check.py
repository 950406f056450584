"""check.sh: its tiers, its flags, and its exit code when one of its parts fails."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import SLOWEST_FIRST

TESTS = Path(__file__).parent
PARTS = ("python", "ruff", "mypy", "lint-imports")


def check(folder: Path, *flags: str, failing: str = "") -> subprocess.CompletedProcess[str]:
    """Run check.sh in a folder, with stub programs instead of ruff, mypy and pytest, one of which fails."""
    (folder / "tests").mkdir()
    (folder / "bin").mkdir()
    shutil.copy(TESTS / "check.sh", folder / "tests")
    for name in PARTS:
        fails = f'[[ "{name} $*" != "{failing}"* ]]' if failing else "true"
        program = folder / "bin" / name
        program.write_text(f'#!/usr/bin/env bash\necho "{name} $* (${{SLIMLINE_RELEASE_TESTS-}})"\n{fails}\n')
        program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("SLIMLINE_RELEASE_TESTS", None)
    command = ["bash", str(folder / "tests/check.sh"), *flags]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("flags", "chosen"),
    [
        ((), "-m not release ()"),
        (("--quick",), "-m not slow and not release ()"),
        (("--release",), "-m  (1)"),
    ],
)
def test_a_flag_selects_the_tests_and_the_other_checks_always_run(
    tmp_path: Path, flags: tuple[str, ...], chosen: str
) -> None:
    done = check(tmp_path, *flags)
    assert (done.returncode, done.stderr) == (0, "")
    [tested] = [line for line in done.stdout.splitlines() if line.startswith("python -m pytest")]
    assert tested.endswith(chosen)
    for command in ("ruff check .", "ruff format --check .", "mypy", "lint-imports"):
        assert f"+ {command}\n" in done.stdout


@pytest.mark.parametrize("failing", ["python -m pytest", "ruff check", "ruff format", "mypy", "lint-imports"])
def test_check_fails_when_one_part_fails_and_the_others_still_run(tmp_path: Path, failing: str) -> None:
    done = check(tmp_path, failing=failing)
    assert done.returncode == 1
    assert ("the tests failed" in done.stderr) == (failing == "python -m pytest")
    assert ("ruff, mypy or lint-imports failed" in done.stderr) == (failing != "python -m pytest")
    assert all(any(line.startswith(f"{name} ") for line in done.stdout.splitlines()) for name in PARTS)


@pytest.mark.parametrize("flags", [("--fast",), ("--quick", "--release"), ("tests",)])
def test_unknown_flags_print_the_usage(tmp_path: Path, flags: tuple[str, ...]) -> None:
    done = check(tmp_path, *flags)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: tests/check.sh [--quick | --release]\n")


def test_the_listed_slowest_files_exist() -> None:
    assert [name for name in SLOWEST_FIRST if not (TESTS / name).is_file()] == []
