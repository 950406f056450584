"""The store: artifacts by stage and key, each made once and never changed."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from slimline.pipeline.artifact import RECORD, Artifact, Facts, fsync, read_artifact, seal
from slimline.pipeline.code import Code, code_reader
from slimline.pipeline.content import ContentDigests
from slimline.pipeline.memo import Memo
from slimline.pipeline.stage import Stage

log = logging.getLogger(__name__)

MEMO = "memo"


class Store:
    """A folder `<stage>/<key>/<generation>` of committed artifacts, and of memos `<stage>/memo/<key>`.

    An artifact is made in `<stage>/<key>/partial`, flushed to disk and renamed: it is always either complete or
    absent. Each key has a lock, so two runs that need the same artifact make it once.
    """

    def __init__(self, root: Path, display_only: Iterable[str] = ()) -> None:
        """Open the store in a folder. Modules in `display_only` are in no key: see `CodeReader`."""
        self.root = root
        self.contents = ContentDigests(root / "digests.sqlite")
        self.code = code_reader(root / "code.json", frozenset(display_only))

    def find(self, stage: str, key: str) -> Artifact | None:
        """Return the newest generation of the artifact under a key, or None."""
        generations = self._generations(stage, key)
        if not generations:
            return None
        return read_artifact(self._folder(stage, key) / str(generations[-1]), generations[-1])

    def all_of(self, stage: str) -> Iterator[Artifact]:
        """Yield the newest generation of every artifact of a stage, the latest one first."""
        folder = self.root / stage
        keys = sorted(folder.iterdir(), key=lambda path: -path.stat().st_mtime_ns) if folder.is_dir() else []
        for path in keys:
            artifact = self.find(stage, path.name) if path.is_dir() and path.name != MEMO else None
            if artifact:
                yield artifact

    def obtain(
        self,
        stage: Stage,
        key: str,
        parts: dict[str, Any],
        make: Callable[[Path], Facts],
        force: bool = False,
    ) -> tuple[Artifact, bool]:
        """Return the artifact under `key` and whether it was cached. If it was not, `make(out)` makes it.

        With `force` it is made again, as the next generation. Runs that used an earlier generation keep it.
        """
        found = None if force else self.find(stage.name, key)
        if found:
            return found, True
        folder = self._folder(stage.name, key)
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / "lock", f"{stage.name} {key[:12]}"):
            found = None if force else self.find(stage.name, key)
            if found:
                return found, True
            partial = folder / "partial"
            if partial.exists() and not stage.resume:
                shutil.rmtree(partial)
            partial.mkdir(exist_ok=True)
            for path in (*partial.rglob(".*.tmp"), partial / RECORD):
                path.unlink(missing_ok=True)  # a crash may have left incomplete files
            started = time.perf_counter()
            facts = make(partial)
            seal(partial, stage.name, key, round(time.perf_counter() - started, 3), facts, parts, stage.undigested)
            generation = max(self._generations(stage.name, key), default=0) + 1
            os.rename(partial, folder / str(generation))
            for path in (folder, folder.parent, self.root):
                fsync(path)
            return read_artifact(folder / str(generation), generation), False

    def memo(self, stage: str, code: Code, fresh: bool = False) -> Memo:
        """Return a stage's memo, for its code."""
        return Memo(self.root / stage / MEMO, code.digests, code.versions, fresh)

    def _folder(self, stage: str, key: str) -> Path:
        return self.root / stage / key

    def _generations(self, stage: str, key: str) -> list[int]:
        folder = self._folder(stage, key)
        return sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit()) if folder.is_dir() else []


@contextmanager
def _locked(path: Path, what: str) -> Iterator[None]:
    """Hold a lock file; log a line if another process holds it first."""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0.1)
    except Timeout:
        log.info("waiting for another run that is making %s", what)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
