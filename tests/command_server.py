"""A server that imports packages once and forks for each command, so that tests do not wait for imports.

Importing TensorFlow, scikit-learn, Plotly and others takes 2.5 to 4 s of a command's 4 to 17 s. A forked command is a
process with its own arguments, folder, environment, signals and exit code. With `SLIMLINE_RELEASE_TESTS=1`, which the
release tier sets, and on systems where forking is not safe, each command starts a new interpreter instead.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from tests.tiers import RELEASE

ROOT = Path(__file__).parents[1]
FORKS = sys.platform == "linux" and not RELEASE
COMPOSING = ("slimline.pipeline.cli",)
"""The modules that a command imports before its stages run."""
STAGES = (
    "slimline.stages.backend.slim",
    "cv2",
    "jinja2",
    "PIL.Image",
    "plotly.graph_objects",
    "pyarrow.parquet",
    "rich.progress",
    "scipy.optimize",
    "sklearn.linear_model",
    "sklearn.metrics",
)
"""The packages that stages import. Slimline's own modules are not listed: tests check which of them are imported."""


class Done(NamedTuple):
    """The result of a command: its exit code, its output, and the modules that it or its server imported."""

    returncode: int
    stdout: str
    stderr: str
    imported: frozenset[str]


class Server:
    """A process that imports modules and then forks for each command."""

    def __init__(self, modules: Sequence[str], environment: Mapping[str, str]) -> None:
        command = [sys.executable, "-P", "-m", "tests.command_server", *modules]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        around = {**environment, "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(command, cwd=ROOT, env=around, bufsize=0, **pipes)
        self.unread = b""
        atexit.register(self.close)
        self.imported = frozenset(self._read(time.monotonic() + 120)["imported"])

    def run(self, arguments: Sequence[str], folder: Path, environment: Mapping[str, str], seconds: float) -> Done:
        """Run `python *arguments` in a folder.

        Raises:
            subprocess.TimeoutExpired: the command took longer than `seconds`, and was killed.
        """
        with tempfile.TemporaryDirectory() as kept:
            asked = {"arguments": list(arguments), "folder": str(folder), "environment": dict(environment), "to": kept}
            assert self.process.stdin
            self.process.stdin.write(json.dumps(asked).encode() + b"\n")
            until = time.monotonic() + seconds
            forked = self._read(until)["forked"]
            try:
                code = self._read(until)["code"]
            except TimeoutError as error:
                os.kill(forked, signal.SIGKILL)
                self._read(time.monotonic() + 60)
                raise subprocess.TimeoutExpired(list(arguments), seconds) from error
            out, error, imported = (
                (Path(kept) / name).read_text(encoding="utf-8") for name in ("out", "error", "imported")
            )
        return Done(code, out, error, self.imported.union(imported.split()))

    def _read(self, until: float) -> Any:
        """Read one line of JSON."""
        assert self.process.stdout
        while b"\n" not in self.unread:
            if not select.select([self.process.stdout], [], [], max(0.0, until - time.monotonic()))[0]:
                raise TimeoutError
            read = os.read(self.process.stdout.fileno(), 1 << 16)
            if not read:
                raise RuntimeError(f"the server of commands ended with {self.process.wait()}")
            self.unread += read
        line, _, self.unread = self.unread.partition(b"\n")
        return json.loads(line)

    def close(self) -> None:
        """Stop the server. It also stops by itself when this process ends."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


@lru_cache
def server(modules: tuple[str, ...]) -> Server:
    """Return the server of this test process that has imported these modules."""
    return Server(modules, os.environ)


def run_python(
    *arguments: str,
    folder: Path,
    environment: Mapping[str, str],
    modules: tuple[str, ...] = (*COMPOSING, *STAGES),
    seconds: float = 600,
) -> Done:
    """Run `python *arguments` in a folder, in a process forked from a server that has imported `modules`.

    A command with an option of the interpreter (`-X`) always starts a new interpreter.
    """
    if FORKS and not arguments[0].startswith("-X"):
        return server(modules).run(arguments, folder, environment, seconds)
    around = {**environment, "PYTHONPROFILEIMPORTTIME": "1"}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=around,
        capture_output=True,
        encoding="utf-8",
        timeout=seconds,
        check=False,
    )
    lines = done.stderr.splitlines(keepends=True)
    imported = {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}
    errors = "".join(line for line in lines if not line.startswith("import time:"))
    return Done(done.returncode, done.stdout, errors, frozenset(imported))


def serve(modules: Sequence[str]) -> None:
    """Import modules, then fork for each command that is read from the input, and print its process and exit code."""
    import importlib

    before = dict(os.environ)
    for module in modules:
        importlib.import_module(module)
    set_by_imports = {name: value for name, value in os.environ.items() if before.get(name) != value}
    say({"imported": list(sys.modules)})
    while line := sys.stdin.buffer.readline():
        asked = json.loads(line)
        forked = fork()
        if forked == 0:
            asked["environment"] = {**set_by_imports, **asked["environment"]}
            os._exit(carry_out(**asked))
        say({"forked": forked})
        say({"code": os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1])})


def say(fact: dict[str, Any]) -> None:
    os.write(1, json.dumps(fact).encode() + b"\n")


def fork() -> int:
    """Fork without Python 3.12's warning about threads: the only ones are OpenBLAS's, which it stops before a fork."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def carry_out(arguments: list[str], folder: str, environment: dict[str, str], to: str) -> int:
    """Run `python *arguments` in this process and return its exit code."""
    for number, name in ((0, os.devnull), (1, f"{to}/out"), (2, f"{to}/error")):
        flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT
        os.dup2(os.open(name, flags), number)
    imported = os.open(f"{to}/imported", os.O_WRONLY | os.O_CREAT)

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "import":
            os.write(imported, f"{arguments[0]}\n".encode())

    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    added = environment.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:0] = [path for path in added if path and path not in sys.path]
    sys.addaudithook(note)
    try:
        run_as_main(arguments)
        code = 0
    except SystemExit as error:
        if error.code is not None and not isinstance(error.code, int):
            print(error.code, file=sys.stderr)
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        code = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def run_as_main(arguments: list[str]) -> None:
    """Run `-m module ...`, `-c code ...` or `file ...` as the interpreter does."""
    import runpy

    kind, rest = arguments[0], arguments[1:]
    sys.orig_argv[:] = [sys.executable, *arguments]
    sys.path.insert(0, str(Path(kind).absolute().parent if kind.endswith(".py") else Path.cwd()))
    if kind == "-m":
        sys.argv[:] = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif kind == "-c":
        sys.argv[:] = ["-c", *rest[1:]]
        exec(compile(rest[0], "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.argv[:] = arguments
        runpy.run_path(kind, run_name="__main__")


if __name__ == "__main__":
    serve(sys.argv[1:])
