"""Digests of what lies outside: files and folders, remembered so that nothing is read twice."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipeline.artifact import canonical_json, digest_file, digest_text
from pipeline.errors import UserError

FRESH_SECONDS = 2.0
"""A file changed this recently isn't remembered: it may change again within its clock's resolution."""


def files_below(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder, sorted, links followed, hidden files and folders left out."""
    yield from _walk(folder, frozenset())


def _walk(directory: Path, above: frozenset[tuple[int, int]]) -> Iterator[Path]:
    """Walk a folder, unless it is one of those above it: a link that leads round in a circle."""
    status = directory.stat()
    here = (status.st_dev, status.st_ino)
    if here in above:
        return
    with os.scandir(directory) as entries:
        visible = sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    for entry in visible:
        try:
            is_folder, is_file = entry.is_dir(), entry.is_file()
        except OSError:
            continue  # a link to itself
        if is_folder:
            yield from _walk(directory / entry.name, above | {here})
        elif is_file:
            yield directory / entry.name


class ContentDigests:
    """Digests of outside files and folders by content, remembered by path, size, mtime and inode."""

    def __init__(self, memory: Path) -> None:
        """Keep what is remembered in the SQLite file `memory`."""
        self._memory = memory

    def digest(self, path: Path) -> str:
        """Return the digest of a file's bytes, or of a folder's relative paths and bytes.

        Moving or renaming the folder changes nothing.

        Raises:
            UserError: nothing is there.
        """
        path = path.resolve()
        if path.is_file():
            return self._digests([path])[path]
        if not path.is_dir():
            raise UserError(f"{path} isn't there.", "Give the path of a file or a folder that is.")
        digests = self._digests(list(files_below(path)))
        return digest_text(
            canonical_json({os.fsencode(file.relative_to(path)).hex(): found for file, found in digests.items()})
        )

    def _digests(self, paths: list[Path]) -> dict[Path, str]:
        self._memory.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self._memory, timeout=60)
        try:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS digests"
                " (path BLOB PRIMARY KEY, size_bytes INT, mtime_ns INT, inode INT, sha256 TEXT)"
            )
            return self._look_up(connection, paths)
        finally:
            connection.close()

    def _look_up(self, connection: sqlite3.Connection, paths: list[Path]) -> dict[Path, str]:
        found: dict[Path, str | None] = {}
        states = {}
        for path in paths:
            status = path.stat()
            states[path] = (status.st_size, status.st_mtime_ns, status.st_ino)
            query = "SELECT sha256 FROM digests WHERE path=? AND size_bytes=? AND mtime_ns=? AND inode=?"
            row = connection.execute(query, (os.fsencode(path), *states[path])).fetchone()
            found[path] = row[0] if row else None
        unknown = [path for path, digest in found.items() if digest is None]
        with ThreadPoolExecutor() as executor:
            found.update(zip(unknown, executor.map(digest_file, unknown), strict=True))
        newest_ns = (time.time() - FRESH_SECONDS) * 1e9
        settled = [path for path in unknown if states[path][1] < newest_ns]
        with connection:
            connection.executemany(
                "INSERT OR REPLACE INTO digests VALUES (?, ?, ?, ?, ?)",
                [(os.fsencode(path), *states[path], found[path]) for path in settled],
            )
        return {path: digest for path, digest in found.items() if digest is not None}
