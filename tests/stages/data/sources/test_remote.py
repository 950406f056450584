"""Remote sources: files over http, plans, and addresses that can't be opened."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

import fsspec
import pytest

from slimline.pipeline.errors import Unavailable, Undecided, UserError
from slimline.stages.data.config import IngestConfig
from slimline.stages.data.settle import settle_source
from slimline.stages.data.sources.remote import fetch
from tests.stages.data.sources.making import check_rows, class_files, picture, run
from tests.stages.loopback import LoopbackServer

PHOTO = picture(1)


def a_zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in class_files(split=True).items():
            archive.writestr(name, data)
    return file.getvalue()


def test_an_archive_over_http_is_ingested(server: LoopbackServer, tmp_path: Path) -> None:
    server.content = a_zip()
    digest = hashlib.sha256(server.content).hexdigest()
    _, rows = run(server.url("/insects.zip"), tmp_path / "out", sha256=digest)
    check_rows(rows)


@pytest.mark.parametrize("checked", [True, False])
def test_a_file_over_http_is_fetched_once(server: LoopbackServer, checked: bool) -> None:
    server.content = b"the file"
    digest = hashlib.sha256(b"the file").hexdigest() if checked else None
    path = fetch(server.url("/a%20b.csv"), digest, False)
    assert path.read_bytes() == b"the file" and path.suffix == ".csv"
    requests = len(server.requests)
    assert fetch(server.url("/a%20b.csv"), digest, False) == fetch(server.url("/a%20b.csv"), digest, True) == path
    assert len(server.requests) == requests
    assert fetch(server.url("/other.csv"), digest, False) != path


def test_a_wrong_checksum_is_refused(server: LoopbackServer) -> None:
    server.content = b"the file"
    with pytest.raises(UserError, match=f"has sha256:.*, not sha256:{'0' * 64}"):
        fetch(server.url(), "0" * 64, False)
    path = fetch(server.url(), None, False)
    with pytest.raises(UserError, match=f"not sha256:{'0' * 64}"):
        fetch(server.url(), "0" * 64, False)
    assert path.read_bytes() == b"the file"


def test_a_plan_uses_no_network(server: LoopbackServer, memory: Any, copied: list[str]) -> None:
    server.content = b"the file"
    with pytest.raises(Undecided, match=r"file.bin would be downloaded"):
        fetch(server.url(), None, True)
    assert not server.requests
    fetch(server.url(), None, False)
    requests = len(server.requests)
    with pytest.raises(Undecided, match=r"file.bin would be downloaded"):
        fetch(server.url(), "0" * 64, True)
    assert len(server.requests) == requests
    memory.pipe_file("/photos/ant/1.jpg", PHOTO)
    with pytest.raises(Undecided, match="memory://photos would be copied"):
        fetch("memory://photos", None, True)
    fetch("memory://photos", None, False)
    assert fetch("memory://photos", None, True)
    memory.pipe_file("/photos/ant/2.jpg", PHOTO)
    with pytest.raises(Undecided, match="memory://photos has changed: 1 of its 2 files would be copied"):
        fetch("memory://photos", None, True)
    assert copied == ["/photos/ant/1.jpg"]


def test_a_host_that_cannot_be_reached_is_unavailable(server: LoopbackServer, cache: Path) -> None:
    server.close()
    with pytest.raises(
        Unavailable, match=r"ingest.images=http://.* can't be reached: .*\nDownload the file by hand to "
    ):
        fetch(server.url("/a.zip"), None, False)
    assert not list(cache.rglob("a.zip"))


def test_an_http_error_is_refused(server: LoopbackServer) -> None:
    server.status = 404
    with pytest.raises(UserError, match="answered 404"):
        fetch(server.url("/a.zip"), None, False)


def test_an_invalid_address_is_refused() -> None:
    with pytest.raises(UserError, match=r"ingest.images=http://\[x/a.zip is not a valid address"):
        fetch("http://[x/a.zip", None, False)


@pytest.mark.parametrize("path", ["/..", "/", "/a/.hidden", "/" + "a" * 300 + ".zip"])
def test_any_address_has_a_place_in_the_cache(server: LoopbackServer, cache: Path, path: str) -> None:
    server.content = b"the file"
    found = fetch(server.url(path), None, False)
    assert found.read_bytes() == b"the file"
    assert found.parent.parent == cache / "data" and not found.name.startswith(".")


def test_a_remote_source_without_files_is_refused(memory: Any, tmp_path: Path) -> None:
    for address in ("memory://nowhere", f"file://{tmp_path}/nowhere"):
        with pytest.raises(UserError, match=rf"ingest.images={address}.*(holds no files|can't be listed)"):
            fetch(address, None, False)


def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(UserError, match=r"ingest.images=nosuch://x: nosuch:// can't be opened: .*\nUse https://"):
        settle_source(IngestConfig(images="nosuch://x", seed=0), False)


@pytest.mark.parametrize(("scheme", "package"), [("s3", "s3fs"), ("gs", "gcsfs")])
def test_a_scheme_whose_package_is_missing_names_it(monkeypatch: pytest.MonkeyPatch, scheme: str, package: str) -> None:
    def missing(address: str) -> Any:
        raise ImportError("Install it to access the bucket")

    monkeypatch.setattr(fsspec, "url_to_fs", missing)
    with pytest.raises(
        UserError, match=rf"{scheme}:// can't be opened: Install it .*\npip install '{package}>=2025.3'$"
    ):
        fetch(f"{scheme}://bucket/photos", None, False)


def test_any_error_of_a_file_system_is_reported(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class NoCredentials(Exception):
        pass

    def refuse(*_: object, **__: object) -> bool:
        raise NoCredentials("Unable to locate credentials")

    monkeypatch.setattr(memory, "isfile", refuse)
    with pytest.raises(Unavailable, match="can't be listed: NoCredentials: Unable to locate credentials"):
        fetch("memory://photos", None, False)
