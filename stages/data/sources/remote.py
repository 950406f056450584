"""Sources that lie elsewhere: fetched once, then as any source on this machine."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from pipeline.artifact import write_json
from pipeline.errors import Unavailable, Undecided, UserError
from stages.data.digests import digest_like
from stages.data.download import Unreachable, download
from stages.networks.cache import cache_directory
from stages.progress import progress

STATES = "states.json"
VERSION_KEYS = ("size", "etag", "ETag", "md5Hash", "crc32c", "mtime", "LastModified", "updated", "created")
"""What file systems state of a file's version: S3, Google's storage, local folders, memory."""


def is_remote(images: str) -> bool:
    """Say whether a source is an address, and no path."""
    return "://" in images


def fetch(address: str, sha256: str | None, plan: bool) -> Path:
    """Return where a remote source lies on this machine, fetched if it isn't there yet.

    http(s) gives one file, checked against `sha256` (hex) where that is given; every other address goes through
    fsspec (gs://, s3://, ...), a file or a whole folder, of which only what has changed is fetched again.

    Raises:
        Undecided: it would have to be fetched, and `plan` is true.
        Unavailable: the host can't be reached.
        UserError: there is nothing at the address, the checksum differs, or a package is missing.
    """
    name = PurePosixPath(urlsplit(address).path).name or "data"
    folder = cache_directory() / "data" / hashlib.sha256(address.encode()).hexdigest()[:16]
    if urlsplit(address).scheme in ("http", "https"):
        return _fetch_file(address, folder / name, sha256, plan)
    return _mirror(address, folder / name, sha256, plan)


def _fetch_file(url: str, path: Path, sha256: str | None, plan: bool) -> Path:
    digest = f"sha256:{sha256}" if sha256 else None
    if path.is_file() and digest is None:
        return path
    if plan and not path.is_file():
        raise Undecided(f"{url} would be downloaded")
    try:
        download(url, path, digest=digest)
    except Unreachable as unreachable:
        raise Unavailable(
            f"ingest.images={url} can't be reached: {unreachable}.",
            f"Put the file at {path} by hand, or give a path on this machine.",
        ) from unreachable
    return path


def _mirror(address: str, target: Path, sha256: str | None, plan: bool) -> Path:
    """Copy a file or a folder through fsspec; a file whose state there is as it was isn't copied again."""
    try:
        import fsspec

        remote, root = fsspec.url_to_fs(address)
    except (ImportError, ValueError) as error:
        scheme = urlsplit(address).scheme
        raise UserError(
            f"ingest.images={address}: {scheme}:// can't be opened: {error}.",
            "gs:// and s3:// want the extra: pip install -e '.[cloud]'",
        ) from error
    if plan and not target.exists():
        raise Undecided(f"{address} would be copied")
    try:
        files: dict[str, dict[str, Any]] = (
            {root: remote.info(root)} if remote.isfile(root) else remote.find(root, detail=True)
        )
    except (OSError, ValueError) as error:  # what fsspec's file systems raise
        raise Unavailable(f"ingest.images={address} can't be listed: {error}.", "Check the address.") from error
    if not files:
        raise UserError(f"ingest.images={address}: nothing is there.", "Give a file or a folder that is.")
    _copy(remote, root, files, target)
    if sha256 and (not target.is_file() or digest_like(target, f"sha256:{sha256}") != f"sha256:{sha256}"):
        raise UserError(f"{address} doesn't have ingest.sha256={sha256}.", "Correct the checksum, or the address.")
    return target


def _copy(remote: Any, root: str, files: dict[str, dict[str, Any]], target: Path) -> None:
    memory = target.with_name(f"{target.name}.{STATES}")
    known: dict[str, str] = json.loads(memory.read_text(encoding="utf-8")) if memory.is_file() else {}
    states = {name: _state(about) for name, about in files.items()}
    wanted = {name: _inside(name, root, target) for name in files}
    stale = [name for name, path in wanted.items() if known.get(name) != states[name] or not path.is_file()]
    if not stale and known.keys() == states.keys():
        return
    for name in known.keys() - states.keys():
        _inside(name, root, target).unlink(missing_ok=True)
    with progress("copying", len(stale), "files") as advance:
        for name in stale:
            path = wanted[name]
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f".{path.name}.part")
            remote.get_file(name, os.fspath(part))
            os.replace(part, path)
            advance()
    write_json(memory, states)


def _inside(name: str, root: str, target: Path) -> Path:
    """Return where a remote file goes; never outside of the target."""
    inside = PurePosixPath(name.removeprefix(root).lstrip("/"))
    if ".." in inside.parts:
        raise UserError(f"{name} lies outside of {root}.", "Rename it there.")
    return target.joinpath(*inside.parts)


def _state(about: dict[str, Any]) -> str:
    """Return what tells one version of a remote file from the next."""
    return json.dumps({name: str(about[name]) for name in VERSION_KEYS if name in about})
