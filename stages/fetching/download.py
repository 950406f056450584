"""Downloading one file: resumed where it stopped, checked, and never half there."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import requests
import urllib3
from filelock import FileLock
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from slimline.pipeline.errors import UserError
from slimline.pipeline.progress import BYTES, progress
from slimline.stages.fetching.checksums import digest_like, stated_digest
from slimline.stages.fetching.partial import (
    beside,
    continues,
    has_version,
    note_version,
    range_headers,
    refuse_full_disk,
    remove_part,
)

log = logging.getLogger(__name__)
logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # else it warns of each lost connection

CHUNK_BYTES = 1 << 20

# Asks again where a connection can't be made, or is lost before the answer's headers. Not after that: a cut body is
# kept, and the next run asks for the rest (Range, If-Range). And not for an HTTP error: to wait out a server's
# Retry-After would take longer than `reach_seconds`.
LOST_CONNECTION = Retry(connect=2, read=2, redirect=0, status=0, other=0, backoff_factor=0.1)


class Unreachable(Exception):
    """The host can't be reached: no address, no connection, or no answer in time."""


class Unusable(UserError):
    """The host answered, but not with the file: an HTTP error, or other bytes than it should have."""


def download(
    url: str,
    path: Path,
    *,
    digest: str | None,
    size_bytes: int | None = None,
    inspect: Callable[[Path], object] | None = None,
    reach_seconds: float = 5.0,
    stall_seconds: float = 30.0,
) -> None:
    """Fetch `url` to `path`, going on where an earlier try stopped; the right file there is left alone.

    `digest` is the file's checksum, such as "sha256:9f86d0..."; for None, the one that the server states
    counts, if it states one. `inspect` looks at the whole file and raises a UserError if it can't be the
    right one. The bytes gather in `path` + ".part" and move to `path` once they are all there and
    checked. A lock file keeps a second process from writing the same part: it waits, then finds the file.
    `reach_seconds` bounds the way to the first answer as a whole (names, addresses, proxies, redirects);
    `stall_seconds` bounds each silence after that.

    Raises:
        Unreachable: The host can't be reached, or hasn't answered within `reach_seconds`.
        Unusable: An HTTP error, a wrong size or checksum, another kind of file (what arrived is removed).
        UserError: The host answered, then something went wrong: a lost connection (what arrived is kept),
            a full disk.
    """
    if path.exists() and fault_of(path, digest, inspect) is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(beside(path, ".lock")):
        if path.exists():
            fault = fault_of(path, digest, inspect)
            if fault is None:
                return
            log.warning("%s %s: downloading it again", path, fault)
        part = beside(path, ".part")
        if digest is None or not (part.exists() and digest_like(part, digest) == digest):
            stated = _fetch(url, path, part, digest, size_bytes, reach_seconds, stall_seconds)
            _check(url, path, part, digest or stated, size_bytes)
        if inspect is not None and (fault := fault_of(part, None, inspect)) is not None:
            remove_part(part)
            raise _damaged(url, fault, path)
        with part.open("r+b") as written:
            os.fsync(written.fileno())
        os.replace(part, path)
        remove_part(part)


def fault_of(path: Path, digest: str | None, inspect: Callable[[Path], object] | None) -> str | None:
    """Say what is wrong with a file, in words that follow its name; None if nothing is."""
    if digest is not None and (found := digest_like(path, digest)) != digest:
        return f"has {found}, not {digest}"
    try:
        if inspect is not None:
            inspect(path)
    except UserError as error:
        return f"isn't what it should be: {str(error).splitlines()[0].rstrip('.')}"
    return None


def _fetch(
    url: str,
    path: Path,
    part: Path,
    digest: str | None,
    size_bytes: int | None,
    reach_seconds: float,
    stall_seconds: float,
) -> str | None:
    """Ask for the file, or for what `part` lacks of it, and write what comes; return the checksum that is stated."""
    kept_bytes = part.stat().st_size if part.exists() else 0
    if size_bytes is not None and kept_bytes >= size_bytes:
        log.warning("%s holds %d bytes, but not the right ones: starting over", part, kept_bytes)
        kept_bytes = 0
    if digest is None and not has_version(part):
        kept_bytes = 0  # nothing would tell if the rest were of another version
    response = _open(url, range_headers(part, kept_bytes), reach_seconds, stall_seconds)
    if kept_bytes and not continues(response, part, kept_bytes):
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
            raise Unusable(problem, f"Check the address, try later, or put the file at {path} by hand.")
        remaining_bytes: int | None = response.raw.length_remaining
        if remaining_bytes is not None:
            announced_bytes = kept_bytes + remaining_bytes
            if size_bytes is not None and announced_bytes != size_bytes:
                if kept_bytes:  # else it has nothing to do with this answer, perhaps a network's log-in page
                    remove_part(part)
                raise _damaged(url, f"is {announced_bytes} bytes long, not {size_bytes}", path)
            refuse_full_disk(part, remaining_bytes)
        _write_body(url, response, part, kept_bytes, size_bytes)
        return stated_digest(response.headers)


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
            with requests.Session() as session:
                for scheme in ("http://", "https://"):
                    session.mount(scheme, HTTPAdapter(max_retries=LOST_CONNECTION))
                timeout = (reach_seconds, stall_seconds)
                answer.set_result(session.get(url, headers=headers, stream=True, timeout=timeout))
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


def _write_body(url: str, response: requests.Response, part: Path, kept_bytes: int, size_bytes: int | None) -> None:
    remaining_bytes: int | None = response.raw.length_remaining
    total_bytes = size_bytes if remaining_bytes is None else kept_bytes + remaining_bytes
    written_bytes = kept_bytes
    try:
        with (
            part.open("ab" if kept_bytes else "wb") as sink,
            progress(part.stem, total_bytes, BYTES, done=kept_bytes) as advance,
        ):
            if not kept_bytes:
                # Only now that the part is empty: old bytes must not go under the new version's name.
                note_version(part, response)
            # read1 gives what has arrived: a cut or stall loses nothing that came before it.
            while chunk := response.raw.read1(CHUNK_BYTES, decode_content=False):
                sink.write(chunk)
                written_bytes += len(chunk)
                advance(len(chunk))
                if size_bytes is not None and written_bytes > size_bytes:
                    break
    except urllib3.exceptions.HTTPError as error:
        raise UserError(
            f"The download of {url} stopped after {written_bytes} bytes: {_root_cause(error)}.",
            "What arrived is kept: run again to go on where it stopped.",
        ) from error


def _check(url: str, path: Path, part: Path, digest: str | None, size_bytes: int | None) -> None:
    found_bytes = part.stat().st_size
    fault = fault_of(part, digest, None)
    if size_bytes is not None and found_bytes != size_bytes:
        fault = f"sent {found_bytes} bytes, not {size_bytes}"
    if fault is not None:
        remove_part(part)
        raise _damaged(url, fault, path)


def _damaged(url: str, fault: str, path: Path) -> Unusable:
    return Unusable(
        f"{url} {fault}.",
        "The file was altered or cut, on the server or on its way here.",
        f"Run again, from another network if you can, or put the file at {path} by hand.",
    )
