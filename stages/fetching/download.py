"""Download one file: resumed after an interruption, checked, and never visible before it is complete."""

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
    continues,
    has_version,
    note_version,
    range_headers,
    refuse_full_disk,
    remove_part,
    with_ending,
)

log = logging.getLogger(__name__)
logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # otherwise it warns about each lost connection

CHUNK_BYTES = 1 << 20

# Retries if a connection can't be made, or is lost before the response's headers. Not after that: an incomplete body
# is kept, and the next run requests the rest (Range, If-Range). And not after an HTTP error: waiting for a server's
# Retry-After would take longer than `reach_seconds`.
LOST_CONNECTION = Retry(connect=2, read=2, redirect=0, status=0, other=0, backoff_factor=0.1)


class Unreachable(Exception):
    """The host can't be reached: no address, no connection, or no response in time."""


class Unusable(UserError):
    """The host answered, but not with the right file: an HTTP error, or wrong content."""


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
    """Download `url` to `path`, resuming an earlier, interrupted download; if the right file exists, do nothing.

    `digest` is the file's checksum, such as "sha256:9f86d0..."; if it is None, the checksum in the server's
    headers is used, if there is one. `inspect` checks the whole file and raises a UserError if it can't be
    the right one. The bytes are written to `path` + ".part", which is renamed to `path` when it is complete
    and checked. A lock file keeps a second process from writing the same part: it waits, then finds the file.
    `reach_seconds` limits the total time until the first response (names, addresses, proxies, redirects);
    `stall_seconds` limits each pause after that.

    Raises:
        Unreachable: The host can't be reached, or hasn't answered within `reach_seconds`.
        Unusable: An HTTP error, a wrong size or checksum, another kind of file (the received bytes are removed).
        UserError: The host answered, then something went wrong: a lost connection (the received bytes are
            kept), or a full disk.
    """
    if path.exists() and fault_of(path, digest, inspect) is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(with_ending(path, ".lock")):
        if path.exists():
            fault = fault_of(path, digest, inspect)
            if fault is None:
                return
            log.warning("%s %s: downloading it again", path, fault)
        part = with_ending(path, ".part")
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
    """Return what is wrong with a file, as a phrase that follows its name; None if nothing is wrong."""
    if digest is not None and (found := digest_like(path, digest)) != digest:
        return f"has {found}, not {digest}"
    try:
        if inspect is not None:
            inspect(path)
    except UserError as error:
        return f"isn't the right file: {str(error).splitlines()[0].rstrip('.')}"
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
    """Request the file, or the bytes that `part` lacks, and write them; return the checksum in the headers."""
    kept_bytes = part.stat().st_size if part.exists() else 0
    if size_bytes is not None and kept_bytes >= size_bytes:
        log.warning("%s has %d bytes, but not the right ones: starting over", part, kept_bytes)
        kept_bytes = 0
    if digest is None and not has_version(part):
        kept_bytes = 0  # nothing would show that the rest is of another version
    response = _open(url, range_headers(part, kept_bytes), reach_seconds, stall_seconds)
    if kept_bytes and not continues(response, part, kept_bytes):
        kept_bytes = 0
        if response.status_code in (206, 416):  # not the whole file, unlike a 200: request it again, completely
            log.info("%s has changed, or %s is not a part of it: starting over", url, part)
            response.close()
            try:
                response = _open(url, {}, reach_seconds, stall_seconds)
            except Unreachable as error:
                problem = f"{url} answered the first request, but not the second: {error}"
                raise UserError(problem, "Run again.") from error
    with response:
        if response.status_code >= 400:
            problem = f"{url} answered {response.status_code} {response.reason}."
            raise Unusable(problem, f"Check the address, try later, or put the file at {path} by hand.")
        remaining_bytes: int | None = response.raw.length_remaining
        if remaining_bytes is not None:
            announced_bytes = kept_bytes + remaining_bytes
            if size_bytes is not None and announced_bytes != size_bytes:
                if kept_bytes:  # otherwise the part is unrelated to this response, perhaps a network's log-in page
                    remove_part(part)
                raise _damaged(url, f"is {announced_bytes} bytes long, not {size_bytes}", path)
            refuse_full_disk(part, remaining_bytes)
        _write_body(url, response, part, kept_bytes, size_bytes)
        return stated_digest(response.headers)


def _open(url: str, headers: dict[str, str], reach_seconds: float, stall_seconds: float) -> requests.Response:
    """Return the response as soon as its headers have arrived; its body is not read yet.

    A daemon thread sends the request, because a socket's timeouts limit one step at a time: they don't cover
    the look-up of a name, nor several addresses or redirects one after another.
    """
    answer: Future[requests.Response] = Future()
    # The bytes as the server stores them: a compressed transfer could not be resumed or compared.
    headers = {"Accept-Encoding": "identity", **headers}

    def ask() -> None:
        try:
            with requests.Session() as session:
                for scheme in ("http://", "https://"):
                    session.mount(scheme, HTTPAdapter(max_retries=LOST_CONNECTION))
                timeout = (reach_seconds, stall_seconds)
                answer.set_result(session.get(url, headers=headers, stream=True, timeout=timeout))
        except BaseException as error:  # raised below
            answer.set_exception(error)

    Thread(target=ask, name=f"ask {url}", daemon=True).start()
    try:
        return answer.result(timeout=reach_seconds)
    except TimeoutError:
        answer.add_done_callback(_close_late_answer)
        raise Unreachable(f"{urlsplit(url).hostname} did not answer within {reach_seconds:g} s") from None
    except (requests.ConnectionError, requests.Timeout) as error:
        raise Unreachable(f"{urlsplit(url).hostname} could not be reached: {_root_cause(error)}") from error
    except OSError as error:  # all errors of requests are, and so is a missing REQUESTS_CA_BUNDLE
        advice = "Check the address, and HTTP_PROXY, HTTPS_PROXY and REQUESTS_CA_BUNDLE if you set them."
        raise UserError(f"{url} can't be requested: {error}", advice) from error


def _close_late_answer(answer: Future[requests.Response]) -> None:
    if answer.exception() is None:
        answer.result().close()


def _root_cause(error: BaseException) -> BaseException:
    """Return the original cause of an error of requests or urllib3, whose own texts take many lines."""
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
                # Only now that the part is empty: old bytes must not be recorded as the new version.
                note_version(part, response)
            # read1 returns what has arrived: a lost or stalled connection loses no bytes that came before.
            while chunk := response.raw.read1(CHUNK_BYTES, decode_content=False):
                sink.write(chunk)
                written_bytes += len(chunk)
                advance(len(chunk))
                if size_bytes is not None and written_bytes > size_bytes:
                    break
    except urllib3.exceptions.HTTPError as error:
        raise UserError(
            f"The download of {url} stopped after {written_bytes} bytes: {_root_cause(error)}.",
            "Run again to resume it: the received bytes are kept.",
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
        "The file was changed or truncated, on the server or during the transfer.",
        f"Run again, from another network if you can, or put the file at {path} by hand.",
    )
