"""Commands whose standard streams are closed or are no longer read."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("arguments", ["--help", "+experiment=flowers --cfg job"])
def test_a_reader_that_stops_reading_is_no_error(arguments: str, tmp_path: Path) -> None:
    done = shell(f"{sys.executable} -m pipeline {arguments} | true", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_run_is_completed_though_nobody_reads_its_lines(toy_program: tuple[str, ...], tmp_path: Path) -> None:
    done = shell(f"{sys.executable} {toy_program[0]} | true", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert '"completed"' in (tmp_path / "runs/toy/latest/manifest.json").read_text()


def test_lines_that_do_not_fit_on_the_disk_are_told_of_after_the_run(
    toy_program: tuple[str, ...], tmp_path: Path
) -> None:
    done = shell(f"{sys.executable} {toy_program[0]} > /dev/full", tmp_path)
    assert done.returncode == 2
    assert done.stderr == "The output could not be written: No space left on device.\n"
    assert '"completed"' in (tmp_path / "runs/toy/latest/manifest.json").read_text()


def test_a_run_without_standard_streams_writes_none_of_its_lines_into_its_files(
    toy_program: tuple[str, ...], tmp_path: Path
) -> None:
    done = shell(f"{sys.executable} {toy_program[0]} <&- >&- 2>&-", tmp_path)
    assert done.returncode == 0
    assert '"completed"' in (tmp_path / "runs/toy/latest/manifest.json").read_text()
    assert (tmp_path / "runs/toy/latest/artifacts/train/model.txt").read_text() == "Straße"


@pytest.mark.parametrize("module", ["pipeline", "slimline"])
def test_a_python_without_the_packages_is_told_how_to_activate_them(module: str, tmp_path: Path) -> None:
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/activate").touch()
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); import runpy; "
         f"runpy.run_module({module!r}, run_name='__main__')"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == 2
    problem, advice = done.stderr.splitlines()
    assert "is not installed in this Python" in problem and sys.executable in problem
    assert advice == "Activate the environment first: . .venv/bin/activate"
