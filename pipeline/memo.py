"""Memos: a stage's results for parts of its inputs, kept so that later artifacts can reuse them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slimline.pipeline.artifact import Facts, canonical_json, digest_text

MEMO_FORMAT = 1
KEY_LENGTH = 32


class Memo:
    """A stage's folders of reusable results, each under a key of everything that decides them.

    A stage takes it as the keyword-only parameter `memo: Memo`. The contract: a memo changes how long the work takes,
    never the result. The content of a folder must be identical, to the last bit, to what the stage would compute
    without it. So a folder is only read by the same code, with the same versions and the same `decides`.
    """

    def __init__(
        self,
        root: Path,
        code: Mapping[str, str],
        versions: Mapping[str, str],
        fresh: bool = False,
    ) -> None:
        """Keep folders below `root` for a stage's code digests and versions; `fresh` empties each one it opens."""
        self._root = root
        self._parts = {"format": MEMO_FORMAT, "code": dict(code), "versions": dict(versions)}
        self._fresh = fresh
        self._opened: set[str] = set()
        self.notes: Facts = {}

    def folder(self, **decides: Any) -> Path:
        """Return the folder for results that depend on `decides`, the stage's code and its versions; it exists.

        `decides` are JSON values: the config's choices and the digests of the input artifacts that matter. Several
        processes may use a folder at the same time: write to a hidden file with a unique name, then rename it.

        Raises:
            TypeError: a value of `decides` is not a JSON value.
        """
        key = digest_text(canonical_json({**self._parts, "decides": decides}))[:KEY_LENGTH]
        folder = self._root / key
        folder.mkdir(parents=True, exist_ok=True)
        if self._fresh and key not in self._opened:
            _forget(folder)
        self._opened.add(key)
        return folder

    def note(self, **facts: Any) -> None:
        """Record in the run's manifest what the memo saved.

        These numbers belong to the run, not to the artifact: as facts of the artifact they would change its digest,
        and so the keys of the stages after it, although the result is the same.
        """
        self.notes.update(facts)


def _forget(folder: Path) -> None:
    """Remove the complete results in a folder; hidden files are still being written by another process."""
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
