"""Content digests of files and folders outside the store, cached so that no file is read twice."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, tee
from pathlib import Path
from typing import NamedTuple

from slimline.pipeline.artifact import digest_file
from slimline.pipeline.errors import UserError

FRESH_SECONDS = 2.0
"""The digest of a file that changed this recently is not cached: it may change again within its clock's resolution."""
BATCH = 4096


class Found(NamedTuple):
    """An entry below a folder: its path, and the reason why it is not a readable file (empty: it is one).

    `hidden` is true if the name begins with a dot. The content of a hidden folder is not listed.
    """

    path: Path
    fault: str = ""
    hidden: bool = False


def files_below(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder, sorted. Links are followed; hidden files and folders are left out."""
    return (found.path for found in walk(folder) if not (found.fault or found.hidden))


def walk(folder: Path) -> Iterator[Found]:
    """Yield all entries below a folder, by path: files, and entries that are not files, with the reason.

    Links are followed.
    """
    yield from _walk(folder, frozenset())


def _walk(directory: Path, above: frozenset[tuple[int, int]]) -> Iterator[Found]:
    """Walk a folder, unless a link made it one of its own parents."""
    try:
        status = directory.stat()
        here = (status.st_dev, status.st_ino)
        if here in above:
            yield Found(directory, "a link to one of its parent folders")
            return
        with os.scandir(directory) as opened:
            entries = sorted(opened, key=_sort_key)
    except OSError as error:
        yield Found(directory, f"a folder that cannot be read: {error.strerror}")
        return
    for entry in entries:
        path = directory / entry.name
        if entry.name.startswith("."):
            yield Found(path, hidden=True)
            continue
        try:
            is_file = entry.is_file()
        except OSError:
            yield Found(path, "a link to itself")
            continue
        if _is_folder(entry):
            yield from _walk(path, above | {here})
        elif is_file:
            yield Found(path)
        else:
            yield Found(path, "a broken link" if entry.is_symlink() else "not a regular file: a pipe, socket or device")


def _sort_key(entry: os.DirEntry[str]) -> bytes:
    """Sort a folder's entries so that all paths below it come in their own order: "a.jpg", then "a/1.jpg"."""
    return os.fsencode(entry.name) + (b"/" if _is_folder(entry) else b"")


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # a link to itself


class ContentDigests:
    """Content digests of files and folders, cached by path, size, modification time and inode."""

    def __init__(self, memory: Path) -> None:
        """Keep the cache in the SQLite file `memory`."""
        self._memory = memory

    def digest(self, path: Path, more: Iterable[Path] = ()) -> str:
        """Return the digest of a file's bytes, or of a folder's relative paths and bytes.

        Moving or renaming the folder does not change the digest. The bytes of `more` files count too, in their order;
        a file that cannot be read counts as unreadable.

        Raises:
            UserError: the path does not exist or cannot be read.
        """
        path = path.resolve()
        if path.is_file():
            digest = next(self._digests([path]))
            if not digest:
                raise UserError(f"{path} cannot be read.", "Check the file's permissions.")
        elif path.is_dir():
            digest = self._folder_digest(path)
        else:
            raise UserError(f"{path} does not exist.", "Check the path of the file or folder.")
        others = self._digests(more)
        if (first := next(others, None)) is None:
            return digest
        listed = hashlib.sha256(f"{digest}\n{first}".encode())
        for other in others:
            listed.update(f"\n{other}".encode())
        return listed.hexdigest()

    def _folder_digest(self, folder: Path) -> str:
        """Hash the canonical JSON of {relative path in hex: digest}; files come sorted, so none is kept in memory."""
        prefix = len(os.fsencode(folder)) + (folder != folder.parent)
        paths, same = tee(files_below(folder))
        whole = hashlib.sha256(b"{")
        comma = ""
        for file, digest in zip(paths, self._digests(same), strict=True):
            whole.update(f'{comma}"{os.fsencode(file)[prefix:].hex()}":"{digest}"'.encode())
            comma = ","
        whole.update(b"}")
        return whole.hexdigest()

    def _digests(self, paths: Iterable[Path]) -> Iterator[str]:
        """Yield each file's digest in order; it is empty for a file that cannot be read."""
        self._memory.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self._memory, timeout=60)
        try:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS digests"
                " (path BLOB PRIMARY KEY, size_bytes INT, mtime_ns INT, inode INT, sha256 TEXT)"
            )
            waiting = iter(paths)
            with ThreadPoolExecutor() as executor:
                while batch := list(islice(waiting, BATCH)):
                    yield from self._look_up(connection, executor, batch)
        finally:
            connection.close()

    def _look_up(self, connection: sqlite3.Connection, executor: ThreadPoolExecutor, paths: list[Path]) -> list[str]:
        states = [_state(path) for path in paths]
        query = "SELECT sha256 FROM digests WHERE path=? AND size_bytes=? AND mtime_ns=? AND inode=?"
        rows = [
            connection.execute(query, (os.fsencode(path), *state)).fetchone() if state else None
            for path, state in zip(paths, states, strict=True)
        ]
        unknown = [number for number, row in enumerate(rows) if row is None]
        found = [row[0] if row else "" for row in rows]
        for number, digest in zip(unknown, executor.map(_read_digest, [paths[n] for n in unknown]), strict=True):
            found[number] = digest
        newest_ns = (time.time() - FRESH_SECONDS) * 1e9
        settled = [(n, state) for n in unknown if found[n] and (state := states[n]) and state[1] < newest_ns]
        with connection:
            connection.executemany(
                "INSERT OR REPLACE INTO digests VALUES (?, ?, ?, ?, ?)",
                [(os.fsencode(paths[n]), *state, found[n]) for n, state in settled],
            )
        return found


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ino


def _read_digest(path: Path) -> str:
    try:
        return digest_file(path)
    except OSError:
        return ""
