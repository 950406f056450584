from __future__ import annotations

import base64
import hashlib
import logging
import os
import random
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from slimline.pipeline.errors import UserError
from slimline.stages.fetching.download import Unreachable, Unusable, download

if TYPE_CHECKING:
    from tests.stages.loopback import LoopbackServer

CONTENT = random.Random(1).randbytes(300_000)
OTHER = random.Random(2).randbytes(300_000)
CUT = 100_000
REACH_SECONDS = 0.5


def hash_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def fetch(server: LoopbackServer, path: Path, content: bytes = CONTENT, **options: float) -> None:
    """Download a file that should contain `content`."""
    size_bytes = len(content) if "size_bytes" not in options else int(options.pop("size_bytes"))
    download(server.url(), path, digest=hash_of(content), size_bytes=size_bytes, **options)


def part_of(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.suffix != ".lock"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "file.bin"


@pytest.fixture
def cut(server: LoopbackServer, path: Path) -> LoopbackServer:
    """The server after it sent CONTENT up to CUT and closed the connection; it works again."""
    server.content, server.stop_at_byte = CONTENT, CUT
    with pytest.raises(UserError, match=f"stopped after {CUT} bytes") as caught:
        fetch(server, path)
    assert "Run again to resume it" in str(caught.value)
    assert not path.exists()
    assert part_of(path).read_bytes() == CONTENT[:CUT]
    server.stop_at_byte = None
    return server


@pytest.fixture
def deadline() -> Iterator[None]:
    """Fail the test if its body takes longer than REACH_SECONDS and a half."""
    start = time.monotonic()
    yield
    assert time.monotonic() - start < REACH_SECONDS + 0.5


def test_whole_file(server: LoopbackServer, path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    server.content = CONTENT
    fetch(server, path)
    assert path.read_bytes() == CONTENT
    assert names_in(path.parent) == {"file.bin"}
    assert server.headers("Range") == [None]
    assert server.headers("Accept-Encoding") == ["identity"]
    assert capfd.readouterr() == ("", "")  # no progress bar without a terminal


def test_unknown_size_and_length(server: LoopbackServer, path: Path) -> None:
    server.content, server.gives_length = CONTENT, False
    download(server.url(), path, digest=hash_of(CONTENT))
    assert path.read_bytes() == CONTENT


def test_right_file_is_left_alone(server: LoopbackServer, path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    fetch(server, path)
    assert server.requests == []
    assert list(path.parent.iterdir()) == [path]  # no lock either: the folder may be read-only


def test_replacing_a_wrong_file_is_logged(server: LoopbackServer, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.parent.mkdir()
    path.write_bytes(OTHER)
    server.content = CONTENT
    with caplog.at_level(logging.WARNING):
        fetch(server, path)
    assert path.read_bytes() == CONTENT
    assert hash_of(OTHER) in caplog.text


def test_resumes_after_a_cut(cut: LoopbackServer, path: Path) -> None:
    fetch(cut, path)
    assert path.read_bytes() == CONTENT
    assert cut.headers("Range") == [None, f"bytes={CUT}-"]
    assert cut.headers("If-Range") == [None, '"one"']
    assert cut.sent_bytes == len(CONTENT)  # no byte was sent twice
    assert names_in(path.parent) == {"file.bin"}


def test_resumes_by_date_without_a_strong_etag(server: LoopbackServer, path: Path) -> None:
    date = "Mon, 02 Nov 2026 10:00:00 GMT"
    server.content, server.stop_at_byte, server.etag, server.last_modified = CONTENT, CUT, 'W/"weak"', date
    with pytest.raises(UserError):
        fetch(server, path)
    server.stop_at_byte = None
    fetch(server, path)
    assert server.headers("If-Range") == [None, date]
    assert server.sent_bytes == len(CONTENT)


def test_resumes_without_validators(server: LoopbackServer, path: Path) -> None:
    server.content, server.stop_at_byte, server.etag = CONTENT, CUT, ""
    with pytest.raises(UserError):
        fetch(server, path)
    server.stop_at_byte = None
    fetch(server, path)
    assert path.read_bytes() == CONTENT
    assert server.headers("If-Range") == [None, None]
    assert server.sent_bytes == len(CONTENT)


def test_server_that_ignores_range(cut: LoopbackServer, path: Path) -> None:
    cut.knows_range = False
    fetch(cut, path)
    assert path.read_bytes() == CONTENT
    assert cut.headers("Range") == [None, f"bytes={CUT}-"]


@pytest.mark.parametrize("knows_if_range", [True, False])
def test_file_that_changed_between_tries(cut: LoopbackServer, path: Path, knows_if_range: bool) -> None:
    cut.content, cut.etag, cut.knows_if_range = OTHER, '"two"', knows_if_range
    fetch(cut, path, OTHER)
    assert path.read_bytes() == OTHER
    assert cut.headers("Range") == [None, f"bytes={CUT}-"] + [None] * (not knows_if_range)


def test_answer_from_another_place_is_not_appended(cut: LoopbackServer, path: Path) -> None:
    cut.misplaced_bytes = 1
    fetch(cut, path)
    assert path.read_bytes() == CONTENT
    assert cut.headers("Range") == [None, f"bytes={CUT}-", None]


def test_cut_again_after_a_change_keeps_the_new_version(cut: LoopbackServer, path: Path) -> None:
    cut.content, cut.etag, cut.stop_at_byte = OTHER, '"two"', CUT // 2
    with pytest.raises(UserError):
        fetch(cut, path, OTHER)
    cut.stop_at_byte = None
    fetch(cut, path, OTHER)
    assert cut.headers("If-Range") == [None, '"one"', '"two"']
    assert path.read_bytes() == OTHER


def test_file_that_shrank_below_the_part(cut: LoopbackServer, path: Path) -> None:
    cut.content = OTHER[: CUT // 2]
    download(cut.url(), path, digest=hash_of(cut.content))
    assert path.read_bytes() == cut.content
    assert cut.headers("Range") == [None, f"bytes={CUT}-", None]


def test_complete_part_needs_no_network(server: LoopbackServer, path: Path) -> None:
    path.parent.mkdir()
    part_of(path).write_bytes(CONTENT)
    fetch(server, path)
    assert path.read_bytes() == CONTENT
    assert server.requests == []


@pytest.mark.parametrize("size_bytes", [len(CONTENT), len(CONTENT) + 1])
def test_complete_but_damaged_part_starts_over(server: LoopbackServer, path: Path, size_bytes: int) -> None:
    path.parent.mkdir()
    part_of(path).write_bytes(OTHER + b"!" * (size_bytes - len(CONTENT)))
    server.content = CONTENT
    fetch(server, path)
    assert path.read_bytes() == CONTENT
    assert server.headers("Range") == [None]


def test_redirect(server: LoopbackServer, path: Path) -> None:
    server.content, server.redirects = CONTENT, {"/file.bin": "/elsewhere"}
    fetch(server, path)
    assert path.read_bytes() == CONTENT
    assert [asked for asked, _ in server.requests] == ["/file.bin", "/elsewhere"]


def test_endless_redirects_are_an_error(server: LoopbackServer, path: Path) -> None:
    server.redirects = {"/file.bin": "/file.bin"}
    with pytest.raises(UserError, match="30 redirects"):
        fetch(server, path, reach_seconds=5)


def test_wrong_checksum(server: LoopbackServer, path: Path) -> None:
    server.content = OTHER
    with pytest.raises(UserError) as caught:
        fetch(server, path)
    assert hash_of(OTHER) in str(caught.value)
    assert hash_of(CONTENT) in str(caught.value)
    assert f"put the file at {path} by hand" in str(caught.value)
    assert names_in(path.parent) == set()


@pytest.mark.parametrize("gives_length", [True, False])
@pytest.mark.parametrize("size_bytes", [len(CONTENT) - 1, len(CONTENT) + 1])
def test_wrong_size(server: LoopbackServer, path: Path, size_bytes: int, gives_length: bool) -> None:
    server.content, server.gives_length = CONTENT, gives_length
    with pytest.raises(UserError, match=f"{len(CONTENT)} bytes.*not {size_bytes}"):
        fetch(server, path, size_bytes=size_bytes)
    assert names_in(path.parent) == set()


def test_file_that_outgrows_its_size_is_broken_off(server: LoopbackServer, path: Path) -> None:
    server.content, server.gives_length, server.stalls = CONTENT, False, True
    with pytest.raises(UserError, match=f"sent .* bytes, not {CUT}"):
        fetch(server, path, size_bytes=CUT, stall_seconds=1)


def test_log_in_page_in_place_of_the_file_keeps_the_part(cut: LoopbackServer, path: Path) -> None:
    cut.content, cut.knows_range = b"<html>Please log in</html>", False
    with pytest.raises(UserError, match="26 bytes long, not 300000"):
        fetch(cut, path)
    assert part_of(path).read_bytes() == CONTENT[:CUT]


def test_part_of_a_file_of_the_wrong_size_is_removed(cut: LoopbackServer, path: Path) -> None:
    cut.content = CONTENT + b"more"
    with pytest.raises(UserError, match="300004 bytes long, not 300000"):
        fetch(cut, path)
    assert names_in(path.parent) == set()


@pytest.mark.parametrize("status", [404, 503])
def test_http_error(server: LoopbackServer, path: Path, status: int) -> None:
    server.status = status
    with pytest.raises(UserError, match=f"{server.url()} answered {status}"):
        fetch(server, path)
    assert names_in(path.parent) == set()


def test_stall_keeps_the_part(server: LoopbackServer, path: Path) -> None:
    server.content, server.stop_at_byte, server.stalls = CONTENT, CUT, True
    with pytest.raises(UserError, match=f"stopped after {CUT} bytes: timed out"):
        fetch(server, path, stall_seconds=0.3)
    server.stop_at_byte, server.stalls = None, False
    fetch(server, path)
    assert path.read_bytes() == CONTENT
    assert server.sent_bytes == len(CONTENT)


def test_full_disk(server: LoopbackServer, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.content = CONTENT
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 0, len(CONTENT) - 1))
    with pytest.raises(UserError, match="299999 bytes free; the download needs 300000"):
        fetch(server, path)
    assert names_in(path.parent) == set()


def test_crash_before_the_rename_leaves_no_file(
    server: LoopbackServer, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.content = CONTENT

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "replace", crash)
        fetch(server, path)
    assert not path.exists()
    fetch(server, path)
    assert path.read_bytes() == CONTENT
    assert len(server.requests) == 1


def test_two_at_once_download_once(server: LoopbackServer, path: Path) -> None:
    server.content, server.pause_seconds = CONTENT, 0.3
    errors: list[BaseException] = []

    def run() -> None:
        try:
            fetch(server, path)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert errors == []
    assert path.read_bytes() == CONTENT
    assert len(server.requests) == 1


# From here on: the checksum is unknown, or has another algorithm.


def stated(content: bytes) -> dict[str, str]:
    """Return the headers of Google's storage for a file."""
    md5 = base64.b64encode(hashlib.md5(content).digest()).decode()
    return {"x-goog-hash": f"crc32c=AAAAAA==, md5={md5}", "x-goog-stored-content-encoding": "identity"}


@pytest.mark.parametrize("algorithm", ["md5", "sha256", "sha384"])
def test_other_checksums(server: LoopbackServer, path: Path, algorithm: str) -> None:
    server.content = CONTENT
    digest = f"{algorithm}:{hashlib.new(algorithm, CONTENT).hexdigest()}"
    with pytest.raises(Unusable, match=f"not {digest[:-1]}x"):
        download(server.url(), path, digest=digest[:-1] + "x")
    assert names_in(path.parent) == set()
    download(server.url(), path, digest=digest)
    assert path.read_bytes() == CONTENT


def test_checksum_of_an_unknown_algorithm(server: LoopbackServer, path: Path) -> None:
    with pytest.raises(ValueError, match="crc32c:AAAA"):
        download(server.url(), path, digest="crc32c:AAAA")


def test_stated_checksum_is_used_if_none_is_known(server: LoopbackServer, path: Path) -> None:
    server.content, server.more_headers = CONTENT, stated(OTHER)
    with pytest.raises(Unusable, match=f"has md5:.*, not md5:{hashlib.md5(OTHER).hexdigest()}"):
        download(server.url(), path, digest=None)
    assert names_in(path.parent) == set()
    server.more_headers = stated(CONTENT)
    download(server.url(), path, digest=None)
    assert path.read_bytes() == CONTENT


def test_stated_checksum_of_the_compressed_file_is_not_used(server: LoopbackServer, path: Path) -> None:
    server.content, server.more_headers = CONTENT, {**stated(OTHER), "x-goog-stored-content-encoding": "gzip"}
    download(server.url(), path, digest=None)
    assert path.read_bytes() == CONTENT


def test_known_checksum_takes_precedence_over_the_stated_one(server: LoopbackServer, path: Path) -> None:
    server.content, server.more_headers = OTHER, stated(OTHER)
    with pytest.raises(Unusable):
        fetch(server, path)
    assert names_in(path.parent) == set()


def test_stated_checksum_detects_a_part_of_another_version(cut: LoopbackServer, path: Path) -> None:
    """The server sends the rest of another file under the same ETag."""
    cut.content, cut.more_headers = OTHER, stated(OTHER)
    with pytest.raises(Unusable, match="has md5"):
        download(cut.url(), path, digest=None)
    assert names_in(path.parent) == set()


def test_resumes_without_a_checksum(cut: LoopbackServer, path: Path) -> None:
    download(cut.url(), path, digest=None)
    assert path.read_bytes() == CONTENT
    assert cut.sent_bytes == len(CONTENT)


def test_part_of_an_unknown_version_starts_over_without_a_checksum(server: LoopbackServer, path: Path) -> None:
    path.parent.mkdir()
    part_of(path).write_bytes(OTHER[:CUT])
    server.content, server.etag = CONTENT, ""
    download(server.url(), path, digest=None)
    assert path.read_bytes() == CONTENT
    assert server.headers("Range") == [None]


def test_file_of_the_wrong_kind_is_not_renamed(server: LoopbackServer, path: Path) -> None:
    def refuse(part: Path) -> None:
        assert part.read_bytes() == CONTENT
        assert not path.exists()
        raise UserError("it isn't a picture of a cat.")

    server.content = CONTENT
    with pytest.raises(Unusable, match="it isn't a picture of a cat"):
        download(server.url(), path, digest=None, inspect=refuse)
    assert names_in(path.parent) == set()


def test_existing_file_of_the_wrong_kind_is_replaced(server: LoopbackServer, path: Path) -> None:
    def refuse_other(part: Path) -> None:
        if part.read_bytes() == OTHER:
            raise UserError("it is the other one.")

    path.parent.mkdir()
    path.write_bytes(OTHER)
    server.content = CONTENT
    download(server.url(), path, digest=None, inspect=refuse_other)
    assert path.read_bytes() == CONTENT


# From here on: Unreachable is raised, and in time.


def test_refused_port(path: Path, deadline: None) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, but not listening
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/file.bin"
        with pytest.raises(Unreachable, match=r"127\.0\.0\.1 could not be reached: .*refused"):
            download(url, path, digest=hash_of(CONTENT), reach_seconds=REACH_SECONDS)


def test_black_hole(server: LoopbackServer, path: Path, deadline: None) -> None:
    server.answers = False
    with pytest.raises(Unreachable, match=r"did not answer within 0\.5 s"):
        fetch(server, path, reach_seconds=REACH_SECONDS)
    assert len(server.requests) == 1


@pytest.mark.parametrize("lost", [1, 2])
def test_a_connection_that_is_lost_before_the_answer_is_made_again(
    server: LoopbackServer, path: Path, lost: int
) -> None:
    server.content, server.lost_requests = CONTENT, lost
    fetch(server, path)
    assert path.read_bytes() == CONTENT
    assert len(server.requests) == lost + 1


def test_connections_that_are_always_lost_are_unreachable(
    server: LoopbackServer, path: Path, deadline: None, caplog: pytest.LogCaptureFixture
) -> None:
    server.lost_requests = 9
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1 could not be reached: .*closed connection"):
        fetch(server, path)
    assert len(server.requests) == 3
    assert caplog.records == []


def test_a_lost_connection_asks_for_the_rest_again(cut: LoopbackServer, path: Path) -> None:
    cut.lost_requests = 2
    fetch(cut, path)
    assert path.read_bytes() == CONTENT
    assert cut.headers("Range") == [None, f"bytes={CUT}-", f"bytes={CUT}-"]
    assert cut.headers("If-Range") == [None, '"one"', '"one"']


def test_unreachable_keeps_the_part(cut: LoopbackServer, path: Path) -> None:
    cut.answers = False
    with pytest.raises(Unreachable):
        fetch(cut, path, reach_seconds=0.2)
    assert part_of(path).read_bytes() == CONTENT[:CUT]


def test_slow_redirects(server: LoopbackServer, path: Path, deadline: None) -> None:
    """Each step is faster than the deadline, but all of them together are not."""
    server.content, server.pause_seconds = CONTENT, 0.3
    server.redirects = {"/file.bin": "/2", "/2": "/3", "/3": "/4", "/4": "/5"}
    with pytest.raises(Unreachable):
        fetch(server, path, reach_seconds=REACH_SECONDS)


def test_name_without_an_address(path: Path) -> None:
    with pytest.raises(Unreachable, match=r"nowhere\.invalid"):
        download("http://nowhere.invalid/", path, digest=hash_of(CONTENT), reach_seconds=2)


def test_hanging_name_look_up(path: Path, deadline: None, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up = threading.Event()

    def hang(*_: object, **__: object) -> None:
        looked_up.set()
        time.sleep(3)
        raise socket.gaierror("too late")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    with pytest.raises(Unreachable, match="did not answer within"):
        download("http://nowhere.invalid/", path, digest=hash_of(CONTENT), reach_seconds=REACH_SECONDS)
    assert looked_up.is_set()


def test_several_addresses_that_time_out(path: Path, deadline: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def time_out(self: socket.socket, address: object) -> None:
        time.sleep(self.gettimeout() or 5)
        raise TimeoutError("timed out")

    addresses = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 9))] * 5
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)
    monkeypatch.setattr(socket.socket, "connect", time_out)
    with pytest.raises(Unreachable):
        download("http://five.invalid/", path, digest=hash_of(CONTENT), reach_seconds=REACH_SECONDS)


def test_failed_tls(server: LoopbackServer, path: Path) -> None:
    server.content = CONTENT
    with pytest.raises(Unreachable, match=r"(?i)ssl"):
        download(server.url().replace("http:", "https:"), path, digest=hash_of(CONTENT))


def test_proxy_that_refuses_the_tunnel(server: LoopbackServer, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HTTPS_PROXY", server.url(""))
    with pytest.raises(Unreachable, match=r"nowhere\.invalid could not be reached: .*403"):
        download("https://nowhere.invalid/", path, digest=hash_of(CONTENT))
    assert [asked for asked, _ in server.requests] == ["nowhere.invalid:443"]


def test_hang_after_the_first_answer_is_no_longer_unreachable(cut: LoopbackServer, path: Path) -> None:
    """The part no longer belongs to the file (416), and the second request gets no response."""
    cut.content = OTHER[: CUT // 2]
    cut.dies_after_requests = 2
    with pytest.raises(UserError, match="answered the first request, but not the second"):
        download(cut.url(), path, digest=hash_of(cut.content), reach_seconds=0.3)


@pytest.mark.parametrize("url", ["nowhere/file.bin", "ftp://nowhere.invalid/", "http://[nowhere/"])
def test_invalid_address(path: Path, url: str) -> None:
    with pytest.raises(UserError, match="can't be requested"):
        download(url, path, digest=hash_of(CONTENT))
