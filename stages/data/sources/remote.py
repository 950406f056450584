"""Remote sources: fetched once, then used as sources on this machine."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from filelock import FileLock

from slimline.pipeline.artifact import write_json
from slimline.pipeline.errors import Unavailable, Undecided, UserError
from slimline.pipeline.progress import progress
from slimline.stages.backend.captions import COPYING, FILES
from slimline.stages.fetching.cache_directory import cache_directory
from slimline.stages.fetching.checksums import digest_like
from slimline.stages.fetching.download import Unreachable, download, fault_of
from slimline.stages.fetching.partial import with_ending

STATES = "states.json"
VOLATILE = frozenset({"time", "atime", "accessTime", "last_accessed", "nlink"})
"""What file systems state about a file that doesn't belong to its version; everything else counts."""
MOST_NAME_LETTERS = 100
FILE_SYSTEMS = {"gs": "gcsfs>=2025.3", "gcs": "gcsfs>=2025.3", "s3": "s3fs>=2025.3", "s3a": "s3fs>=2025.3"}
"""Packages that open a scheme's addresses and install fsspec, with the first version that has what is used here."""
OTHER_SCHEME = "Use https://, gs:// or s3://, or install fsspec and its package for this scheme."


def fetch(address: str, sha256: str | None, plan: bool) -> Path:
    """Return the path of a remote source on this machine; fetch it if it isn't stored yet.

    An http(s) address is one file, checked against `sha256` (hex) if that is given. Every other address goes through
    fsspec (gs://, s3://, ...) and is a file or a whole folder, of which only changed files are fetched again.

    Raises:
        Undecided: it would have to be fetched, and `plan` is true.
        Unavailable: the host can't be reached.
        UserError: there is nothing at the address, the checksum differs, or a package is missing.
    """
    try:
        parts = urlsplit(address)
    except ValueError as error:
        raise UserError(f"ingest.images={address} is not a valid address: {error}.", "Correct the address.") from error
    is_http = parts.scheme in ("http", "https")
    name = PurePosixPath(parts.path if is_http else f"{parts.netloc}{parts.path}").name
    name = name.lstrip(".")[-MOST_NAME_LETTERS:] or "data"
    folder = cache_directory() / "data" / hashlib.sha256(address.encode()).hexdigest()[:16]
    if is_http:
        return _fetch_file(address, folder / name, sha256, plan)
    return _mirror(address, folder / name, sha256, plan)


def _fetch_file(url: str, path: Path, sha256: str | None, plan: bool) -> Path:
    digest = f"sha256:{sha256}" if sha256 else None
    if path.is_file() and (digest is None or fault_of(path, digest, None) is None):
        return path
    if plan:
        raise Undecided(f"{url} would be downloaded")
    try:
        download(url, path, digest=digest)
    except Unreachable as unreachable:
        raise Unavailable(
            f"ingest.images={url} can't be reached: {unreachable}.",
            f"Download the file by hand to {path}, or set ingest.images to a path on this machine.",
        ) from unreachable
    return path


def _mirror(address: str, target: Path, sha256: str | None, plan: bool) -> Path:
    """Copy a file or a folder through fsspec; files whose remote state is unchanged are not copied again."""
    try:
        import fsspec

        remote, root = fsspec.url_to_fs(address)
    except (ImportError, ValueError) as error:
        scheme = urlsplit(address).scheme
        raise UserError(
            f"ingest.images={address}: {scheme}:// can't be opened: {error}.",
            f"pip install '{FILE_SYSTEMS[scheme]}'" if scheme in FILE_SYSTEMS else OTHER_SCHEME,
        ) from error
    if plan and not target.exists():
        raise Undecided(f"{address} would be copied")
    try:
        files: dict[str, dict[str, Any]] = (
            {root: remote.info(root)} if remote.isfile(root) else remote.find(root, detail=True)
        )
    except Exception as error:  # each file system has its own errors: of the network, of permissions
        raise Unavailable(
            f"ingest.images={address} can't be listed: {type(error).__name__}: {error}.",
            "Check the address and its permissions.",
        ) from error
    files = {name: about for name, about in files.items() if about.get("type", "file") == "file"}
    if not files:
        raise UserError(f"ingest.images={address} holds no files.", "Set it to an existing file or folder.")
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(with_ending(target, ".lock")):
        _Mirror(address, remote, root, target).update(files, plan)
    if sha256 and (not target.is_file() or digest_like(target, f"sha256:{sha256}") != f"sha256:{sha256}"):
        raise UserError(f"{address} doesn't match ingest.sha256={sha256}.", "Correct the checksum, or the address.")
    return target


class _Mirror(NamedTuple):
    """A local copy of a remote file or folder: the address, its file system, the path there, and the path here."""

    address: str
    remote: Any
    root: str
    target: Path

    def update(self, files: dict[str, dict[str, Any]], plan: bool) -> None:
        """Copy changed files, remove deleted ones, and record each file's state once its copy is complete."""
        memory = with_ending(self.target, f".{STATES}")
        known: dict[str, str] = json.loads(memory.read_text(encoding="utf-8")) if memory.is_file() else {}
        states = {name: _state(about) for name, about in files.items()}
        places = {name: self.place(name) for name in files}
        stale = [name for name, path in places.items() if known.get(name) != states[name] or not path.is_file()]
        gone = known.keys() - states.keys()
        if not stale and not gone:
            return
        if plan:
            raise Undecided(f"{self.address} has changed: {len(stale):,} of its {len(files):,} files would be copied")
        for name in gone:
            self.remove(self.place(name))
        done = {name: states[name] for name in states.keys() - set(stale)}
        write_json(memory, done)  # the state of a copy is unknown while it is replaced
        try:
            with progress(COPYING, len(stale), FILES) as advance:
                for name in stale:
                    self.copy(name, places[name])
                    done[name] = states[name]
                    advance()
        finally:
            write_json(memory, done)

    def place(self, name: str) -> Path:
        """Return the path for the copy of a remote file, which is always inside the target."""
        inside = PurePosixPath(name.removeprefix(self.root).lstrip("/"))
        if ".." in inside.parts:
            raise UserError(f"{name} is outside of {self.root}.", "Rename the remote file.")
        return self.target.joinpath(*inside.parts)

    def copy(self, name: str, path: Path) -> None:
        """Copy one file, in one step."""
        part = with_ending(self.target, ".part")
        try:
            self.remote.get_file(name, os.fspath(part))
        except Exception as error:  # each file system has its own errors
            raise Unavailable(
                f"{name} of ingest.images={self.address} can't be copied: {type(error).__name__}: {error}.",
                "Run again: files that were copied are kept.",
            ) from error
        path.parent.mkdir(parents=True, exist_ok=True)
        os.replace(part, path)

    def remove(self, path: Path) -> None:
        """Remove a copy, and folders that are then empty, because a file may replace a folder."""
        path.unlink(missing_ok=True)
        for folder in path.parents:
            if folder == self.target.parent or not folder.is_dir() or any(folder.iterdir()):
                break
            folder.rmdir()


def _state(about: dict[str, Any]) -> str:
    """Return a text that differs between versions of a remote file."""
    return json.dumps({name: str(about[name]) for name in sorted(about.keys() - VOLATILE)})
