"""The part of a download that is here already: its bytes, and of which version of the file they are."""

from __future__ import annotations

import shutil
from pathlib import Path

import requests

from slimline.pipeline.errors import UserError


def beside(path: Path, ending: str) -> Path:
    """Return the path of a file that goes with `path`, by a longer name."""
    return path.with_name(path.name + ending)


def has_version(part: Path) -> bool:
    """Tell whether it is known of which version of the file the part is."""
    return bool(_stored_validator(part))


def note_version(part: Path, response: requests.Response) -> None:
    """Keep what the server calls the version that it is about to send."""
    beside(part, ".validator").write_text(_validator(response))


def range_headers(part: Path, kept_bytes: int) -> dict[str, str]:
    """Return the headers that ask for what lies after `kept_bytes`, of the same version."""
    if not kept_bytes:
        return {}
    validator = _stored_validator(part)
    return {"Range": f"bytes={kept_bytes}-", **({"If-Range": validator} if validator else {})}


def continues(response: requests.Response, part: Path, kept_bytes: int) -> bool:
    """Tell whether an answer's body goes on right after the part, in the same version of the file.

    Some servers know Range and ignore If-Range. Without any validator the checksum at the end still tells.
    """
    stored, given = _stored_validator(part), _validator(response)
    same_version = not stored or given in ("", stored)
    same_place = response.headers.get("Content-Range", "").startswith(f"bytes {kept_bytes}-")
    return response.status_code == 206 and same_version and same_place


def remove_part(part: Path) -> None:
    """Remove the part and what goes with it, if they are there."""
    part.unlink(missing_ok=True)
    beside(part, ".validator").unlink(missing_ok=True)


def refuse_full_disk(part: Path, remaining_bytes: int) -> None:
    """Check that the rest of the file has room.

    Raises:
        UserError: it hasn't.
    """
    free_bytes = shutil.disk_usage(part.parent).free
    if free_bytes < remaining_bytes:
        raise UserError(
            f"{part.parent} has {free_bytes} bytes free; the download needs {remaining_bytes} more.",
            "Make room, then run again.",
        )


def _validator(response: requests.Response) -> str:
    """Give what If-Range may hold: a strong ETag, else the date, else nothing (RFC 9110, 13.1.5)."""
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else response.headers.get("Last-Modified", "")


def _stored_validator(part: Path) -> str:
    stored = beside(part, ".validator")
    return stored.read_text() if stored.exists() else ""
