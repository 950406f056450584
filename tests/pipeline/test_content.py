from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from pathlib import Path

import pytest

from slimline.pipeline import content
from slimline.pipeline.artifact import digest_file, digest_text
from slimline.pipeline.content import ContentDigests, Found, files_below, walk
from slimline.pipeline.errors import UserError

A_SHA256 = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
B_SHA256 = "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d"


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that collects the names of the files that are read."""
    read: list[str] = []

    def counted(path: Path) -> str:
        read.append(path.name)
        return digest_file(path)

    monkeypatch.setattr(content, "digest_file", counted)
    return read


@pytest.fixture
def contents(tmp_path: Path) -> ContentDigests:
    return ContentDigests(tmp_path / "store" / "digests.sqlite")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Make a folder with two files that were written one minute ago."""
    folder = tmp_path / "photos"
    write(folder / "daisy" / "1.jpg", "a")
    write(folder / "rose" / "2.jpg", "b")
    return folder


def write(path: Path, text: str, age_seconds: float = 60) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (time.time() - age_seconds,) * 2)


def test_a_file_counts_by_its_bytes(contents: ContentDigests, tmp_path: Path) -> None:
    write(tmp_path / "a.jpg", "a")
    assert contents.digest(tmp_path / "a.jpg") == A_SHA256


def test_a_folder_counts_by_its_files_paths_and_bytes(contents: ContentDigests, photos: Path) -> None:
    names = (b"daisy/1.jpg".hex(), b"rose/2.jpg".hex())
    expected = f'{{"{names[0]}":"{A_SHA256}","{names[1]}":"{B_SHA256}"}}'
    assert contents.digest(photos) == digest_text(expected)
    assert contents.digest(photos) == "299cd4c61879136b40796ae8ced6f7bad12d3acb7f84ed9f9c832586f44cffe5"


def test_a_second_digest_reads_no_file(contents: ContentDigests, photos: Path, reads: list[str]) -> None:
    first = contents.digest(photos)
    assert sorted(reads) == ["1.jpg", "2.jpg"]
    assert contents.digest(photos) == first
    assert len(reads) == 2


def test_another_process_uses_the_cache(photos: Path, tmp_path: Path, reads: list[str]) -> None:
    first = ContentDigests(tmp_path / "memory").digest(photos)
    reads.clear()
    assert ContentDigests(tmp_path / "memory").digest(photos) == first
    assert reads == []


def test_a_file_of_another_time_is_read_again(contents: ContentDigests, photos: Path, reads: list[str]) -> None:
    first = contents.digest(photos)
    reads.clear()
    write(photos / "daisy" / "1.jpg", "c", age_seconds=59)
    assert contents.digest(photos) != first
    assert reads == ["1.jpg"]


def test_a_file_of_another_size_is_read_again(contents: ContentDigests, photos: Path, reads: list[str]) -> None:
    write(photos / "daisy" / "1.jpg", "a", age_seconds=0)
    os.utime(photos / "daisy" / "1.jpg", (1000, 1000))
    first = contents.digest(photos)
    reads.clear()
    (photos / "daisy" / "1.jpg").write_text("aa")
    os.utime(photos / "daisy" / "1.jpg", (1000, 1000))
    assert contents.digest(photos) != first
    assert reads == ["1.jpg"]


def test_a_file_replaced_by_one_of_equal_size_and_time_is_read_again(contents: ContentDigests, photos: Path) -> None:
    os.utime(photos / "daisy" / "1.jpg", (1000, 1000))
    first = contents.digest(photos)
    (photos / "other").write_text("c")
    os.utime(photos / "other", (1000, 1000))
    (photos / "other").rename(photos / "daisy" / "1.jpg")
    assert contents.digest(photos) != first


def test_a_fresh_file_is_not_cached(contents: ContentDigests, photos: Path, reads: list[str]) -> None:
    write(photos / "daisy" / "1.jpg", "a", age_seconds=content.FRESH_SECONDS - 1)
    contents.digest(photos)
    reads.clear()
    contents.digest(photos)
    assert reads == ["1.jpg"]


def test_a_change_within_the_clocks_resolution_is_seen(contents: ContentDigests, photos: Path) -> None:
    file = photos / "daisy" / "1.jpg"
    now_ns = time.time_ns()
    os.utime(file, ns=(now_ns, now_ns))
    first = contents.digest(photos)
    file.write_text("c")
    os.utime(file, ns=(now_ns, now_ns))
    assert contents.digest(photos) != first


def test_a_file_dated_in_the_future_is_read_each_time(contents: ContentDigests, photos: Path, reads: list[str]) -> None:
    write(photos / "daisy" / "1.jpg", "a", age_seconds=-3600)
    contents.digest(photos)
    contents.digest(photos)
    assert reads.count("1.jpg") == 2


def test_a_moved_folder_has_the_same_digest(contents: ContentDigests, photos: Path, tmp_path: Path) -> None:
    first = contents.digest(photos)
    (tmp_path / "elsewhere").mkdir()
    assert contents.digest(photos.rename(tmp_path / "elsewhere" / "flowers")) == first


def test_a_link_to_a_folder_has_the_folders_digest(contents: ContentDigests, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("photos")
    assert contents.digest(tmp_path / "link") == contents.digest(photos)


def test_hidden_files_and_folders_do_not_count(contents: ContentDigests, photos: Path) -> None:
    first = contents.digest(photos)
    write(photos / ".DS_Store", "x")
    write(photos / "daisy" / ".thumbnails" / "1.jpg", "x")
    assert contents.digest(photos) == first


@pytest.mark.parametrize("change", ["one more", "one less", "renamed", "moved"])
def test_other_files_are_another_digest(contents: ContentDigests, photos: Path, change: str) -> None:
    first = contents.digest(photos)
    file = photos / "daisy" / "1.jpg"
    if change == "one more":
        write(photos / "rose" / "3.jpg", "")
    elif change == "one less":
        file.unlink()
    else:
        file.rename(photos / ("daisy/3.jpg" if change == "renamed" else "rose/1.jpg"))
    assert contents.digest(photos) != first


def test_a_missing_path_is_a_user_error(contents: ContentDigests, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere does not exist"):
        contents.digest(tmp_path / "nowhere")


def test_files_come_sorted_with_links_followed(photos: Path, tmp_path: Path) -> None:
    write(tmp_path / "tulips" / "3.jpg", "")
    (photos / "tulip").symlink_to("../tulips")
    (photos / "first.jpg").symlink_to("daisy/1.jpg")
    (photos / "broken.jpg").symlink_to("nowhere.jpg")
    found = [str(path.relative_to(photos)) for path in files_below(photos)]
    assert found == ["daisy/1.jpg", "first.jpg", "rose/2.jpg", "tulip/3.jpg"]


def test_paths_come_in_the_order_of_their_bytes(photos: Path) -> None:
    for name in ("daisy.jpg", "daisy-2/1.jpg", "daisy 0.jpg", "daisy/a.jpg", "daisy/a/1.jpg", "é.jpg", "日.jpg"):
        write(photos / name, name)
    write(photos / os.fsdecode(b"\xff.jpg"), "")
    found = [os.fsencode(path.relative_to(photos)) for path in files_below(photos)]
    assert found == sorted(found)
    assert len(found) == 10


def test_a_folder_that_links_to_its_own_parent_ends(photos: Path) -> None:
    (photos / "daisy" / "up").symlink_to("..")
    assert [path.name for path in files_below(photos)] == ["1.jpg", "2.jpg"]


def test_a_link_to_itself_is_skipped(photos: Path) -> None:
    (photos / "self").symlink_to("self")
    assert [path.name for path in files_below(photos)] == ["1.jpg", "2.jpg"]


def test_a_folder_that_two_links_name_is_listed_under_both(photos: Path, tmp_path: Path) -> None:
    write(tmp_path / "tulips" / "3.jpg", "")
    (photos / "tulip").symlink_to("../tulips")
    (photos / "tulpe").symlink_to("../tulips")
    found = [str(path.relative_to(photos)) for path in files_below(photos)]
    assert found == ["daisy/1.jpg", "rose/2.jpg", "tulip/3.jpg", "tulpe/3.jpg"]


def test_all_entries_below_a_folder_are_found_with_their_faults(photos: Path) -> None:
    (photos / "daisy" / "up").symlink_to("..")
    (photos / "broken.jpg").symlink_to("nowhere.jpg")
    (photos / "self").symlink_to("self")
    os.mkfifo(photos / "pipe")
    write(photos / ".cache" / "1.jpg", "")
    write(photos / "rose" / ".DS_Store", "")
    assert list(walk(photos)) == [
        Found(photos / ".cache", hidden=True),
        Found(photos / "broken.jpg", "a broken link"),
        Found(photos / "daisy" / "1.jpg"),
        Found(photos / "daisy" / "up", "a link to one of its parent folders"),
        Found(photos / "pipe", "not a regular file: a pipe, socket or device"),
        Found(photos / "rose" / ".DS_Store", hidden=True),
        Found(photos / "rose" / "2.jpg"),
        Found(photos / "self", "a link to itself"),
    ]


def test_two_folders_that_link_to_each_other_end(photos: Path) -> None:
    (photos / "daisy" / "other").symlink_to("../rose")
    (photos / "rose" / "other").symlink_to("../daisy")
    found = {str(one.path.relative_to(photos)): one.fault for one in walk(photos)}
    assert found == {
        "daisy/1.jpg": "",
        "daisy/other/2.jpg": "",
        "daisy/other/other": "a link to one of its parent folders",
        "rose/2.jpg": "",
        "rose/other/1.jpg": "",
        "rose/other/other": "a link to one of its parent folders",
    }


def test_an_unreadable_folder_is_found_as_unreadable(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan = os.scandir

    def refuse(path: Path):
        if path.name == "rose":
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert list(walk(photos)) == [
        Found(photos / "daisy" / "1.jpg"),
        Found(photos / "rose", "a folder that cannot be read: Permission denied"),
    ]


def test_an_unreadable_file_counts_as_unreadable(
    contents: ContentDigests, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> str:
        if path.name == "1.jpg":
            raise PermissionError(13, "Permission denied")
        return digest_file(path)

    with monkeypatch.context() as denied:
        denied.setattr(content, "digest_file", refuse)
        unreadable = contents.digest(photos)
        with pytest.raises(UserError, match=r"1.jpg cannot be read\.\nCheck the file's permissions\."):
            contents.digest(photos / "daisy" / "1.jpg")
    readable = contents.digest(photos)
    (photos / "daisy" / "1.jpg").unlink()
    assert len({unreadable, readable, contents.digest(photos)}) == 3


def test_more_files_count_by_their_bytes_in_their_order(contents: ContentDigests, photos: Path) -> None:
    one, two = photos / "daisy" / "1.jpg", photos / "rose" / "2.jpg"
    listed = hashlib.sha256(f"{A_SHA256}\n{B_SHA256}\n{A_SHA256}".encode()).hexdigest()
    assert contents.digest(one, [two, one]) == listed
    assert contents.digest(one, [one, two]) != listed
    assert contents.digest(one, []) == contents.digest(one) == A_SHA256


def test_which_of_more_files_is_missing_counts(contents: ContentDigests, photos: Path) -> None:
    one, gone = photos / "daisy" / "1.jpg", photos / "gone.jpg"
    several = ([one, one], [one, gone], [gone, one], [gone, gone], [one], [gone], [photos, one])
    digests = [contents.digest(one, more) for more in several]
    assert digests[-1] == digests[2], "a folder counts as a file that cannot be read"
    assert len(set(digests[:-1])) == len(several) - 1


def test_more_files_than_fit_in_a_batch_count_each(
    contents: ContentDigests, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = [photos / "daisy" / "1.jpg"] * 4 + [photos / "rose" / "2.jpg"]
    whole = contents.digest(more[0], more)
    monkeypatch.setattr(content, "BATCH", 2)
    assert contents.digest(more[0], iter(more)) == whole
    assert contents.digest(more[0], more[:-1]) != whole


NAMES = {"unicode": "日本 é.jpg", "newline": "a\nb.jpg", "bytes": os.fsdecode(b"caf\xe9.jpg"), "quote": "a'b\".jpg"}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_file_of_any_name_counts_and_is_cached(
    contents: ContentDigests, photos: Path, reads: list[str], name: str
) -> None:
    first = contents.digest(photos)
    write(photos / name, "c")
    second = contents.digest(photos)
    assert second != first
    reads.clear()
    assert contents.digest(photos) == second
    assert reads == []


def test_the_cache_can_be_deleted(contents: ContentDigests, photos: Path, tmp_path: Path) -> None:
    first = contents.digest(photos)
    (tmp_path / "store" / "digests.sqlite").unlink()
    assert contents.digest(photos) == first
    with sqlite3.connect(tmp_path / "store" / "digests.sqlite") as connection:
        assert connection.execute("SELECT sha256 FROM digests ORDER BY path").fetchall() == [(A_SHA256,), (B_SHA256,)]
