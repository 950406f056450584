"""More processes on this machine that join a sweep: the same command again, each in a process of its own."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slimline.pipeline.sweeping.folder import SweepFolder

log = logging.getLogger(__name__)

SWEEP = "SLIMLINE_SWEEP"
"""The environment variable that tells the processes of a launcher which sweep their points belong to."""
WORKER = "SLIMLINE_WORKER"
"""The environment variable of a process that only computes points: another one ends the sweep."""
PATIENCE_SECONDS = 10.0


def is_worker() -> bool:
    """Whether this process only computes points of a sweep that another process ends."""
    return WORKER in os.environ


@contextmanager
def workers(count: int, folder: SweepFolder) -> Iterator[None]:
    """Run `count` more processes that join the sweep inside the block; each ends when no point is left."""
    if is_worker() or count < 1:
        yield
        return
    logs = [folder.path / f"worker-{number}.log" for number in range(1, count + 1)]
    started = [_start(folder, path) for path in logs]
    patience = 0.0
    try:
        yield
        patience = PATIENCE_SECONDS
    finally:
        for process, path in zip(started, logs, strict=True):
            _end(process, path, patience)


def _start(folder: SweepFolder, path: Path) -> subprocess.Popen[bytes]:
    own = [f"run.sweep.resume={folder.name}", "run.sweep.join=true", "run.sweep.workers=1", "run.sweep.new=false"]
    with path.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, *sys.orig_argv[1:], *own],
            env={**os.environ, WORKER: "1"},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )


def _end(process: subprocess.Popen[bytes], path: Path, patience: float) -> None:
    """Wait for a process, or stop it; its log is kept if it failed."""
    try:
        code = process.wait(patience)
    except subprocess.TimeoutExpired:
        process.terminate()
        code = process.wait()
        code = 0 if code < 0 or code > 128 else code
    if code == 0:
        path.unlink(missing_ok=True)
    else:
        log.warning("a process of the sweep ended with code %d: see %s", code, path)
