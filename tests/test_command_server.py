"""The server that forks for commands: a forked command behaves like a new interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import kept_store
from tests.command_server import COMPOSING, FORKS, ROOT, Done, run_python, server

PROGRAM = """\
import json, os, sys, xml.dom.pulldom
if sys.argv[1] == "exit":
    sys.exit(int(sys.argv[2]))
if sys.argv[1] == "raise":
    raise ValueError(sys.argv[2])
print(json.dumps([sys.argv[1:], os.getcwd(), os.environ["GIVEN"], "HOME" in os.environ, sys.stdin.read(), __name__]))
print("words", file=sys.stderr)
"""


def run(folder: Path, *arguments: str, **environment: str) -> Done:
    around = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "GIVEN": "é", **environment}
    return run_python(*arguments, folder=folder, environment=around, modules=COMPOSING)


@pytest.fixture
def program(tmp_path: Path) -> str:
    (tmp_path / "program.py").write_text(PROGRAM)
    return "program.py"


@pytest.mark.parametrize("kind", ["program.py", "-m", "-c"])
def test_a_command_has_its_own_arguments_folder_and_environment(tmp_path: Path, program: str, kind: str) -> None:
    started = {"program.py": ("program.py",), "-m": ("-m", "program"), "-c": ("-c", PROGRAM)}[kind]
    done = run(tmp_path, *started, "two words", "ü")
    assert (done.returncode, done.stderr) == (0, "words\n")
    assert done.stdout == f'[["two words", "\\u00fc"], "{tmp_path}", "\\u00e9", false, "", "__main__"]\n'
    assert "xml.dom.pulldom" in done.imported
    assert ("slimline.pipeline.cli" in done.imported) == FORKS
    assert "tensorflow" not in done.imported


@pytest.mark.parametrize("code", [0, 3])
def test_the_exit_code_is_returned(tmp_path: Path, program: str, code: int) -> None:
    assert run(tmp_path, program, "exit", str(code))[:3] == (code, "", "")


def test_an_uncaught_exception_is_a_traceback_and_exit_code_1(tmp_path: Path, program: str) -> None:
    done = run(tmp_path, program, "raise", "in the middle")
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback (most recent call last):\n")
    assert done.stderr.endswith("ValueError: in the middle\n")


def test_a_command_does_not_affect_the_next_one(tmp_path: Path) -> None:
    change = "import os, sys; sys.modules['json'] = os.environ['LEFT'] = 'x'; os.chdir('/')"
    assert run(tmp_path, "-c", change).returncode == 0
    done = run(tmp_path, "-c", "import json, os; print(json.dumps(['LEFT' in os.environ, os.getcwd()]))")
    assert (done.stdout, done.stderr) == (f'[false, "{tmp_path}"]\n', "")


@pytest.mark.skipif(not FORKS, reason="commands are interpreters of their own")
def test_a_command_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(subprocess.TimeoutExpired):
        server(COMPOSING).run(["-c", "import time; time.sleep(600)"], tmp_path, {}, seconds=0.5)
    assert time.monotonic() - started < 60
    assert server(COMPOSING).run(["-c", "print(1)"], tmp_path, {}, seconds=60)[:2] == (0, "1\n")


def test_an_option_of_the_interpreter_starts_a_new_one(tmp_path: Path) -> None:
    done = run(tmp_path, "-X", "utf8", "-c", "import sys, colorsys; print(sys.flags.utf8_mode)")
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")
    assert "colorsys" in done.imported


def make_store(folder: Path) -> list[Path]:
    artifacts = [folder / "train" / key for key in ("old", "new")]
    for artifact in artifacts:
        (artifact / "1").mkdir(parents=True)
        (artifact / "1/weights").write_bytes(bytes(600))
    os.utime(artifacts[0], (0, 0))
    return artifacts


def test_old_artifacts_are_removed_from_a_store_that_is_too_large(tmp_path: Path) -> None:
    old, new = make_store(tmp_path)
    kept_store.prune(tmp_path, limit_bytes=10**6)
    assert old.exists()
    kept_store.prune(tmp_path, limit_bytes=1000)
    assert not old.exists()
    assert (new / "1/weights").exists()


def test_runs_use_the_kept_store(tmp_path: Path) -> None:
    make_store(tmp_path / "kept")
    folder = kept_store.use(tmp_path / "kept", tmp_path / "garden")
    assert (folder / "runs/store/train/new/1/weights").stat().st_size == 600
    assert sys.platform == "win32" or (folder / "runs/store").is_symlink()
