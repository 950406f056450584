from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tarfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from slimline.pipeline.errors import UserError
from slimline.stages.data.sources import flower_photos
from slimline.stages.data.sources.flower_photos import fetch_flower_photos
from slimline.stages.fetching.download import Unreachable

if TYPE_CHECKING:
    from tests.stages.loopback import LoopbackServer

ROOT = Path(__file__).parents[4]
PHOTOS = {
    "flower_photos/LICENSE.txt": b"by",
    "flower_photos/roses/1.jpg": b"a rose",
    "flower_photos/tulips/1.jpg": b"a tulip",
    "flower_photos/tulips/2.jpg": b"two tulips",
}


def folder_named(name: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type = tarfile.DIRTYPE
    return member


def link_named(name: str, kind: bytes, target: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def pack(files: dict[str, bytes], *others: tarfile.TarInfo) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.addfile(folder_named("flower_photos"))
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for other in others:
            archive.addfile(other)
    return packed.getvalue()


def fetch(server: LoopbackServer, folder: Path, reach_seconds: float = 5) -> Path:
    sha256 = hashlib.sha256(server.content).hexdigest()
    return fetch_flower_photos(
        folder, url=server.url(), sha256=sha256, size_bytes=len(server.content), reach_seconds=reach_seconds
    )


def files_in(folder: Path) -> dict[str, bytes]:
    return {
        str(Path("flower_photos", path.relative_to(folder))): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.suffix != ".lock"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data" / "flowers"


def test_constants() -> None:
    """The archive as Google serves it; a change here makes every user download it again."""
    assert flower_photos.URL == (
        "https://storage.googleapis.com/download.tensorflow.org/example_images/flower_photos.tgz"
    )
    assert flower_photos.SIZE_BYTES == 228_813_984
    assert flower_photos.SHA256 == "4c54ace7911aaffe13a365c34f650e71dd5bf1be0a58b464e5a7183e3e595d9c"


def test_downloads_and_unpacks(server: LoopbackServer, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    server.content = pack(PHOTOS)
    assert fetch(server, folder) == folder
    assert files_in(folder) == PHOTOS
    assert names_in(folder.parent) == {"flowers"}
    assert capfd.readouterr() == ("", "")


def test_an_existing_folder_needs_no_network(server: LoopbackServer, folder: Path) -> None:
    folder.mkdir(parents=True)
    assert fetch(server, folder) == folder
    assert server.requests == []
    assert list(folder.parent.iterdir()) == [folder]


def test_an_archive_downloaded_by_hand_needs_no_network(server: LoopbackServer, folder: Path) -> None:
    server.content = pack(PHOTOS)
    folder.parent.mkdir()
    (folder.parent / "flower_photos.tgz").write_bytes(server.content)
    fetch(server, folder)
    assert files_in(folder) == PHOTOS
    assert server.requests == []


def test_unreachable(server: LoopbackServer, folder: Path) -> None:
    server.answers = False
    with pytest.raises(Unreachable, match=r"within 0\.2 s"):
        fetch(server, folder, reach_seconds=0.2)
    assert names_in(folder.parent) == set()


@pytest.mark.parametrize(
    "odd",
    [
        folder_named("../escaped"),
        folder_named("flower_photos/../../escaped"),
        folder_named("/flower_photos/escaped"),
        link_named("flower_photos/roses/2.jpg", tarfile.SYMTYPE, "1.jpg"),
        link_named("flower_photos/roses/2.jpg", tarfile.SYMTYPE, "../../../secret"),
        link_named("flower_photos/roses/2.jpg", tarfile.LNKTYPE, "flower_photos/roses/1.jpg"),
        link_named("flower_photos/pipe", tarfile.FIFOTYPE, ""),
        link_named("flower_photos/disk", tarfile.BLKTYPE, ""),
    ],
    ids=lambda odd: f"{odd.name}-{odd.type.decode()}",
)
def test_odd_member_leaves_nothing(server: LoopbackServer, folder: Path, odd: tarfile.TarInfo) -> None:
    server.content = pack(PHOTOS, odd)
    with pytest.raises(UserError, match=f"flower_photos.tgz contains '{odd.name}', which"):
        fetch(server, folder)
    assert names_in(folder.parent) == set()
    assert names_in(folder.parent.parent) == {"data"}


def test_archive_without_the_folder(server: LoopbackServer, folder: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.addfile(folder_named("fruit"))
    server.content = packed.getvalue()
    with pytest.raises(UserError, match="has no folder flower_photos/"):
        fetch(server, folder)
    assert names_in(folder.parent) == set()


@pytest.mark.parametrize("content", [b"<html>not an archive</html>", pack(PHOTOS)[:150]])
def test_another_file_or_a_truncated_archive(server: LoopbackServer, folder: Path, content: bytes) -> None:
    server.content = content
    with pytest.raises(UserError, match="can't be unpacked"):
        fetch(server, folder)
    assert names_in(folder.parent) == set()


def test_interrupt_while_unpacking_keeps_only_the_archive(
    server: LoopbackServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.content = pack(PHOTOS)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(tarfile.TarFile, "makefile", interrupt)
        fetch(server, folder)
    assert names_in(folder.parent) == {"flower_photos.tgz"}


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


KILLED_WHILE_UNPACKING = """
import os, sys, tarfile
from pathlib import Path
from slimline.stages.data.sources.flower_photos import fetch_flower_photos

make = tarfile.TarFile.makefile

def make_or_die(self, member, target):
    if member.name.endswith("tulips/2.jpg"):
        os._exit(9)
    make(self, member, target)

tarfile.TarFile.makefile = make_or_die
url, sha256, folder = sys.argv[1:]
fetch_flower_photos(Path(folder), url=url, sha256=sha256, size_bytes=None)
"""


def test_a_kill_while_unpacking_leaves_nothing_half_done(server: LoopbackServer, folder: Path) -> None:
    server.content = pack(PHOTOS)
    sha256 = hashlib.sha256(server.content).hexdigest()
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_WHILE_UNPACKING, server.url(), sha256, str(folder)],
        cwd=ROOT,
        check=False,
    )
    assert killed.returncode == 9
    assert names_in(folder.parent) == {"flower_photos.tgz", "flowers.unpacking"}
    (folder.parent / "flowers.unpacking" / "flower_photos" / "stale.jpg").touch()
    fetch(server, folder)
    assert files_in(folder) == PHOTOS
    assert names_in(folder.parent) == {"flowers"}
    assert len(server.requests) == 1  # the archive was complete


@pytest.mark.parametrize("names", [("flowers", "flowers"), ("flowers", "blossoms")])
def test_two_at_once(server: LoopbackServer, folder: Path, names: tuple[str, str]) -> None:
    """The second call finds the finished folder; for another folder next to it, it makes its own."""
    server.content, server.pause_seconds = pack(PHOTOS), 0.3
    errors: list[BaseException] = []

    def run(name: str) -> None:
        try:
            fetch(server, folder.with_name(name))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert errors == []
    assert names_in(folder.parent) == set(names)
    assert all(files_in(folder.with_name(name)) == PHOTOS for name in names)
    assert len(server.requests) == len(set(names))
