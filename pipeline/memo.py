"""Memos: what a stage worked out for parts of its inputs, kept for the next artifact that wants the same."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slimline.pipeline.artifact import Facts, canonical_json, digest_text

MEMO_FORMAT = 1
KEY_LENGTH = 32


class Memo:
    """A stage's folders of results that outlive one artifact, each under the key of what decides them.

    A stage takes it as the keyword-only parameter `memo: Memo`. The contract: a memo changes how long the work takes,
    never what comes out. What is found in a folder must be, to the last bit, what the stage would compute without it;
    so a folder is only ever read by the same code, with the same versions and the same `decides`.
    """

    def __init__(
        self,
        root: Path,
        code: Mapping[str, str],
        versions: Mapping[str, str],
        fresh: bool = False,
    ) -> None:
        """Keep folders below `root` for a stage's code digests and versions; `fresh` empties those that it opens."""
        self._root = root
        self._parts = {"format": MEMO_FORMAT, "code": dict(code), "versions": dict(versions)}
        self._fresh = fresh
        self._opened: set[str] = set()
        self.notes: Facts = {}

    def folder(self, **decides: Any) -> Path:
        """Return the folder, which exists, of results that `decides`, the stage's code and its versions settle.

        `decides` are JSON values: choices of the config, digests of those input artifacts that matter. Several
        processes may have one folder at once: write under names of your own and rename what is complete.

        Raises:
            TypeError: a value of `decides` is no JSON.
        """
        key = digest_text(canonical_json({**self._parts, "decides": decides}))[:KEY_LENGTH]
        folder = self._root / key
        folder.mkdir(parents=True, exist_ok=True)
        if self._fresh and key not in self._opened:
            _forget(folder)
        self._opened.add(key)
        return folder

    def note(self, **facts: Any) -> None:
        """Say in the run's manifest what the memo saved.

        Such numbers are the run's and not the artifact's: among its facts they would change its digest, and with it
        the keys of the stages after it, though what was made is the same.
        """
        self.notes.update(facts)


def _forget(folder: Path) -> None:
    """Remove what is complete in a folder; hidden files are what another process is writing."""
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
