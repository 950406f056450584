"""A store of artifacts for tests that only need a trained model, shared by test processes and kept between runs.

It is the project's own store. An artifact's key contains the code, the settings and the versions that produced it, so
a change of any of them produces a new artifact. Each key has a lock, so two processes compute an artifact once, and a
killed process leaves no partial artifact.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

NAME = "slimline-store"
LIMIT_BYTES = 2_000_000_000
KEPT_SECONDS = 3600
"""Newer artifacts may be in use by other tests that run at the same time."""


def use(store: Path, folder: Path) -> Path:
    """Make the runs in a folder use the store, and return the folder."""
    (folder / "runs").mkdir(parents=True, exist_ok=True)
    (folder / "runs/store").symlink_to(store, target_is_directory=True)
    return folder


def prune(store: Path, limit_bytes: int = LIMIT_BYTES) -> None:
    """Remove artifacts older than an hour if the store is larger than the limit."""
    if sum(path.lstat().st_size for path in store.rglob("*")) <= limit_bytes:
        return
    oldest = time.time() - KEPT_SECONDS
    for artifact in [path for path in store.glob("*/*") if path.is_dir() and path.lstat().st_mtime < oldest]:
        shutil.rmtree(artifact)
