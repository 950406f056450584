"""Downloading one file: resumed where it stopped, checked, and never half there."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import sys
from concurrent.futures import Future
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import requests
import urllib3
from filelock import FileLock
from rich.console import Console
from rich.progress import DownloadColumn, Progress

from pipeline.errors import UserError

log = logging.getLogger(__name__)

CHUNK_BYTES = 1 << 20


class Unreachable(Exception):
    """The host can't be reached: no address, no connection, or no answer in time."""


def download(
    url: str,
    path: Path,
    *,
    sha256: str,
    size_bytes: int | None = None,
    reach_seconds: float = 5.0,
    stall_seconds: float = 30.0,
) -> None:
    """Fetch `url` to `path`, going on where an earlier try stopped; the right file there is left alone.

    The bytes gather in `path` + ".part" and move to `path` once they are all there and checked. A lock
    file keeps a second process from writing the same part: it waits, then finds the file.
    `reach_seconds` bounds the way to the first answer as a whole (names, addresses, proxies, redirects);
    `stall_seconds` bounds each silence after that.

    Raises:
        Unreachable: The host can't be reached, or hasn't answered within `reach_seconds`.
        UserError: The host answered, then something went wrong: an HTTP error, a lost connection (what
            arrived is kept), a wrong size or hash (what arrived is removed), a full disk.
    """
    if path.exists() and sha256_of(path) == sha256:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(_beside(path, ".lock")):
        if path.exists():
            found = sha256_of(path)
            if found == sha256:
                return
            log.warning("%s has sha256 %s, not %s: downloading it again", path, found, sha256)
        part = _beside(path, ".part")
        if not (part.exists() and sha256_of(part) == sha256):
            _fetch(url, path, part, size_bytes, reach_seconds, stall_seconds)
            _check(url, path, part, sha256, size_bytes)
        with part.open("r+b") as written:
            os.fsync(written.fileno())
        os.replace(part, path)
        _remove(part)


def sha256_of(path: Path) -> str:
    """Give the SHA-256 of a file's content, in lowercase hexadecimal."""
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def _fetch(
    url: str, path: Path, part: Path, size_bytes: int | None, reach_seconds: float, stall_seconds: float
) -> None:
    """Ask for the file, or for what `part` lacks of it, and write what comes."""
    kept_bytes = part.stat().st_size if part.exists() else 0
    if size_bytes is not None and kept_bytes >= size_bytes:
        log.warning("%s holds %d bytes, but not the right ones: starting over", part, kept_bytes)
        kept_bytes = 0
    response = _open(url, _range_headers(part, kept_bytes), reach_seconds, stall_seconds)
    if kept_bytes and not _continues(response, part, kept_bytes):
        kept_bytes = 0
        if response.status_code in (206, 416):  # not the whole file, as a 200 is: ask again, for all of it
            log.info("%s has changed, or %s is no part of it: starting over", url, part)
            response.close()
            try:
                response = _open(url, {}, reach_seconds, stall_seconds)
            except Unreachable as error:
                problem = f"{url} answered, but not when asked again: {error}"
                raise UserError(problem, "Run again.") from error
    with response:
        if response.status_code >= 400:
            problem = f"{url} answered {response.status_code} {response.reason}."
            raise UserError(problem, f"Check the address, try later, or put the file at {path} by hand.")
        remaining_bytes: int | None = response.raw.length_remaining
        if remaining_bytes is not None:
            announced_bytes = kept_bytes + remaining_bytes
            if size_bytes is not None and announced_bytes != size_bytes:
                if kept_bytes:  # else it has nothing to do with this answer, perhaps a network's log-in page
                    _remove(part)
                raise _damaged(url, f"is {announced_bytes} bytes long, not {size_bytes}", path)
            _refuse_full_disk(part, remaining_bytes)
        _write_body(url, response, part, kept_bytes, size_bytes)


def _open(url: str, headers: dict[str, str], reach_seconds: float, stall_seconds: float) -> requests.Response:
    """Give the answer as soon as its headers are there; the body is yet to be read.

    A daemon thread asks, because the timeouts of a socket bound one step at a time: not the look-up of
    a name, nor several addresses or redirects after one another.
    """
    answer: Future[requests.Response] = Future()
    # The bytes as they lie on the server: a compressed transfer could not be resumed or compared.
    headers = {"Accept-Encoding": "identity", **headers}

    def ask() -> None:
        try:
            timeout = (reach_seconds, stall_seconds)
            answer.set_result(requests.get(url, headers=headers, stream=True, timeout=timeout))
        except BaseException as error:  # whatever it is, it is raised below
            answer.set_exception(error)

    Thread(target=ask, name=f"ask {url}", daemon=True).start()
    try:
        return answer.result(timeout=reach_seconds)
    except TimeoutError:
        answer.add_done_callback(_close_late_answer)
        raise Unreachable(f"{urlsplit(url).hostname} did not answer within {reach_seconds:g} s") from None
    except (requests.ConnectionError, requests.Timeout) as error:
        raise Unreachable(f"{urlsplit(url).hostname} could not be reached: {_root_cause(error)}") from error
    except OSError as error:  # every error of requests is one, and so is a missing REQUESTS_CA_BUNDLE
        advice = "Check the address, and HTTP_PROXY, HTTPS_PROXY and REQUESTS_CA_BUNDLE if you set them."
        raise UserError(f"{url} can't be asked for: {error}", advice) from error


def _close_late_answer(answer: Future[requests.Response]) -> None:
    if answer.exception() is None:
        answer.result().close()


def _root_cause(error: BaseException) -> BaseException:
    """Find the error below the layers of requests and urllib3, whose own texts run over many lines."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return error


def _range_headers(part: Path, kept_bytes: int) -> dict[str, str]:
    if not kept_bytes:
        return {}
    validator = _stored_validator(part)
    return {"Range": f"bytes={kept_bytes}-", **({"If-Range": validator} if validator else {})}


def _continues(response: requests.Response, part: Path, kept_bytes: int) -> bool:
    """Tell whether an answer's body goes on right after the part, in the same version of the file.

    Some servers know Range and ignore If-Range. Without any validator the SHA-256 at the end still tells.
    """
    stored, given = _stored_validator(part), _validator(response)
    same_version = not stored or given in ("", stored)
    same_place = response.headers.get("Content-Range", "").startswith(f"bytes {kept_bytes}-")
    return response.status_code == 206 and same_version and same_place


def _validator(response: requests.Response) -> str:
    """Give what If-Range may hold: a strong ETag, else the date, else nothing (RFC 9110, 13.1.5)."""
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else response.headers.get("Last-Modified", "")


def _stored_validator(part: Path) -> str:
    stored = _beside(part, ".validator")
    return stored.read_text() if stored.exists() else ""


def _refuse_full_disk(part: Path, remaining_bytes: int) -> None:
    free_bytes = shutil.disk_usage(part.parent).free
    if free_bytes < remaining_bytes:
        raise UserError(
            f"{part.parent} has {free_bytes} bytes free; the download needs {remaining_bytes} more.",
            "Make room, then run again.",
        )


def _write_body(url: str, response: requests.Response, part: Path, kept_bytes: int, size_bytes: int | None) -> None:
    remaining_bytes: int | None = response.raw.length_remaining
    total_bytes = size_bytes if remaining_bytes is None else kept_bytes + remaining_bytes
    written_bytes = kept_bytes
    try:
        with part.open("ab" if kept_bytes else "wb") as sink, _progress() as progress:
            if not kept_bytes:
                # Only now that the part is empty: old bytes must not go under the new version's name.
                _beside(part, ".validator").write_text(_validator(response))
            task = progress.add_task(part.stem, total=total_bytes, completed=kept_bytes)
            # read1 gives what has arrived: a cut or stall loses nothing that came before it.
            while chunk := response.raw.read1(CHUNK_BYTES, decode_content=False):
                sink.write(chunk)
                written_bytes += len(chunk)
                progress.update(task, completed=written_bytes)
                if size_bytes is not None and written_bytes > size_bytes:
                    break
    except urllib3.exceptions.HTTPError as error:
        raise UserError(
            f"The download of {url} stopped after {written_bytes} bytes: {_root_cause(error)}.",
            "What arrived is kept: run again to go on where it stopped.",
        ) from error


def _progress() -> Progress:
    columns = (*Progress.get_default_columns(), DownloadColumn())
    return Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty())


def _check(url: str, path: Path, part: Path, sha256: str, size_bytes: int | None) -> None:
    found_bytes, found = part.stat().st_size, sha256_of(part)
    if size_bytes is not None and found_bytes != size_bytes:
        _remove(part)
        raise _damaged(url, f"sent {found_bytes} bytes, not {size_bytes}", path)
    if found != sha256:
        _remove(part)
        raise _damaged(url, f"has sha256 {found}, not {sha256}", path)


def _damaged(url: str, difference: str, path: Path) -> UserError:
    return UserError(
        f"{url} {difference}.",
        "The file was altered or cut, on the server or on its way here.",
        f"Run again, from another network if you can, or put the file at {path} by hand.",
    )


def _remove(part: Path) -> None:
    part.unlink(missing_ok=True)
    _beside(part, ".validator").unlink(missing_ok=True)


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)
