"""One store of artifacts for the tests that only need a trained model: shared by test processes, kept between runs.

It is the project's own store: each key holds the code, the settings and the versions that made an artifact, so what
has changed is made again. A lock for each key lets two processes make it once, and a killed one leaves nothing
half-made.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

NAME = "slimline-store"
LIMIT_BYTES = 2_000_000_000
KEPT_SECONDS = 3600
"""What is newer may be in use by tests that run at the same time."""


def use(store: Path, folder: Path) -> Path:
    """Have the runs in a folder take their artifacts from a store; return the folder."""
    (folder / "runs").mkdir(parents=True, exist_ok=True)
    (folder / "runs/store").symlink_to(store, target_is_directory=True)
    return folder


def prune(store: Path, limit_bytes: int = LIMIT_BYTES) -> None:
    """Remove the artifacts that are older than an hour from a store that holds more bytes than a limit."""
    if sum(path.lstat().st_size for path in store.rglob("*")) <= limit_bytes:
        return
    oldest = time.time() - KEPT_SECONDS
    for artifact in [path for path in store.glob("*/*") if path.is_dir() and path.lstat().st_mtime < oldest]:
        shutil.rmtree(artifact)
