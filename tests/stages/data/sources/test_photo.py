"""Reading a photo's bytes, and the spool that stores them."""

from __future__ import annotations

import errno
import os
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from slimline.stages.data.config import ColumnsConfig
from slimline.stages.data.sources.photo import Listing, Photo, Spool, looks_like_a_photo, read_bytes
from tests.stages.data.sources.making import content, pack, picture, spooled


def test_all_or_a_range_of_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"0123456789")
    file = str(tmp_path / "a")
    assert read_bytes(file) == b"0123456789"
    assert read_bytes(file, 3) == b"3456789"
    assert read_bytes(file, 3, 4) == b"3456"
    with pytest.raises(ValueError, match="its file ends after 2 of 4 bytes"):
        read_bytes(file, 8, 4)
    assert read_bytes(file, most_bytes=10) == b"0123456789"
    with pytest.raises(ValueError, match=r"more than ingest.max_file_mb allows"):
        read_bytes(file, most_bytes=9)


@pytest.mark.parametrize("at_once", [1, 3, 7])
def test_an_incomplete_read_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    real = os.pread
    monkeypatch.setattr(os, "pread", lambda file, size, offset: real(file, min(size, at_once), offset))
    (tmp_path / "a").write_bytes(b"0123456789")
    assert read_bytes(str(tmp_path / "a"), 2) == b"23456789"
    assert read_bytes(str(tmp_path / "a"), 2, 5) == b"23456"
    with pytest.raises(ValueError, match="its file ends after 8 of 9 bytes"):
        read_bytes(str(tmp_path / "a"), 2, 9)


def test_pipes_folders_and_devices_are_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        with pytest.raises(ValueError, match="it is not a file, but a folder, a pipe or a device"):
            read_bytes(str(path))
    with pytest.raises(OSError, match="No such file"):
        read_bytes(str(tmp_path / "gone"))


def test_a_spool_returns_what_it_stored(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    placed = [spool.add(Photo(str(number), "ant"), bytes([number]) * number) for number in range(4)]
    spool.close()
    assert [content(photo) for photo in placed] == [b"", b"\1", b"\2\2", b"\3\3\3"]
    assert [photo.offset for photo in placed] == [0, 0, 1, 3]


def test_a_partial_write_is_continued(tmp_path: Path) -> None:
    class Slow:
        def __init__(self, file: Any) -> None:
            self.file = file

        def write(self, data: Any) -> int:
            return int(self.file.write(data[:3]))

        def close(self) -> None:
            self.file.close()

    with closing(Spool(tmp_path / "spool")) as spool:
        spool._file = Slow(spool._file)  # type: ignore[assignment]
        placed = [spool.add(Photo("a", "ant"), b"0123456789"), spool.add(Photo("b", "ant"), b"abcd")]
    assert [content(photo) for photo in placed] == [b"0123456789", b"abcd"]


def test_a_full_disk_is_not_an_error_of_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Spool, photo: Photo, encoded: bytes) -> Photo:
        raise OSError(errno.ENOSPC, "No space left on device")

    pq.write_table(pa.table({"image": [b"x"], "label": ["ant"]}), tmp_path / "a.parquet")
    pack(tmp_path / "a.zip", {"ant/1.jpg": b"x"})
    monkeypatch.setattr(Spool, "add", refuse)
    for name in ("a.parquet", "a.zip"):
        with pytest.raises(OSError, match="No space left"):
            spooled(tmp_path / name, tmp_path)


def test_a_listing_stores_photos_that_are_small_enough(tmp_path: Path) -> None:
    photo = Photo("a", "ant")
    assert Listing(tmp_path, ColumnsConfig()).placed(photo, b"12345") == photo
    with closing(Spool(tmp_path / "spool")) as spool:
        asked = Listing(tmp_path, ColumnsConfig(), spool, most_bytes=4)
        assert asked.placed(photo, b"12345").problem == "0.0 MB are more than ingest.max_file_mb allows"
        assert content(asked.placed(photo, b"1234")) == b"1234"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF"])
def test_photos_are_recognized_by_their_first_bytes(kind: str) -> None:
    assert looks_like_a_photo(picture(1, kind)[:12])


@pytest.mark.parametrize("start", [b"", b"BMW drivers.", b"BM", b"hello world!", b"GIF", bytes(12)])
def test_other_files_are_not(start: bytes) -> None:
    assert not looks_like_a_photo(start)
