"""Partial downloads: the bytes that have arrived, and the version of the file that they belong to."""

from __future__ import annotations

import shutil
from pathlib import Path

import requests

from slimline.pipeline.errors import UserError


def with_ending(path: Path, ending: str) -> Path:
    """Return a path whose name is that of `path` plus an ending."""
    return path.with_name(path.name + ending)


def has_version(part: Path) -> bool:
    """Return whether it is known which version of the file the part belongs to."""
    return bool(_stored_validator(part))


def note_version(part: Path, response: requests.Response) -> None:
    """Store the server's validator of the version that it is about to send."""
    with_ending(part, ".validator").write_text(_validator(response))


def range_headers(part: Path, kept_bytes: int) -> dict[str, str]:
    """Return the headers that request the bytes after the first `kept_bytes`, of the same version."""
    if not kept_bytes:
        return {}
    validator = _stored_validator(part)
    return {"Range": f"bytes={kept_bytes}-", **({"If-Range": validator} if validator else {})}


def continues(response: requests.Response, part: Path, kept_bytes: int) -> bool:
    """Return whether a response's body continues right after the part, in the same version of the file.

    Some servers support Range but ignore If-Range. Without a validator, the checksum at the end detects a change.
    """
    stored, given = _stored_validator(part), _validator(response)
    same_version = not stored or given in ("", stored)
    same_place = response.headers.get("Content-Range", "").startswith(f"bytes {kept_bytes}-")
    return response.status_code == 206 and same_version and same_place


def remove_part(part: Path) -> None:
    """Remove the part and its validator, if they exist."""
    part.unlink(missing_ok=True)
    with_ending(part, ".validator").unlink(missing_ok=True)


def refuse_full_disk(part: Path, remaining_bytes: int) -> None:
    """Check that the disk has space for the rest of the file.

    Raises:
        UserError: there isn't enough space.
    """
    free_bytes = shutil.disk_usage(part.parent).free
    if free_bytes < remaining_bytes:
        raise UserError(
            f"{part.parent} has {free_bytes} bytes free; the download needs {remaining_bytes} more.",
            "Free some disk space, then run again.",
        )


def _validator(response: requests.Response) -> str:
    """Return a valid If-Range value: a strong ETag, else the date, else nothing (RFC 9110, 13.1.5)."""
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else response.headers.get("Last-Modified", "")


def _stored_validator(part: Path) -> str:
    stored = with_ending(part, ".validator")
    return stored.read_text() if stored.exists() else ""
