"""Folders of class folders: which files are listed, passed over or skipped, and why."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from tests.stages.data.sources.making import (
    check_rows,
    class_files,
    content,
    key_of,
    labels,
    listing,
    photos,
    picture,
    problems,
    run,
    write,
)

PHOTO = picture(1)


def test_each_class_folder_holds_its_photos_at_any_depth(tmp_path: Path) -> None:
    write(tmp_path, {"ant/1.jpg": PHOTO, "ant/2019/may/2.jpg": PHOTO, "bee/1.jpg": PHOTO})
    found = listing(tmp_path)
    assert labels(found) == {"ant/1.jpg": "ant", "ant/2019/may/2.jpg": "ant", "bee/1.jpg": "bee"}
    assert all(content(photo) == PHOTO and not photo.split for photo in found)


@pytest.mark.parametrize("name", ["1.JPG", "1.JpEg", "1.jfif", "1.jpe", "1.PNG", "1.gif", "1.bmp", "1.webp", "1.TIFF"])
def test_extensions_are_known_in_any_case(tmp_path: Path, name: str) -> None:
    write(tmp_path, {f"ant/{name}": b"not looked at"})
    assert labels(listing(tmp_path)) == {f"ant/{name}": "ant"}


NAMES = {
    "unicode": "日本 é.jpg",
    "space": " a b .jpg",
    "newline": "a\nb.jpg",
    "long": "a" * 251 + ".jpg",
    "bytes": os.fsdecode(b"caf\xe9.jpg"),
    "quotes": "a'b\".jpg",
    "percent": "%20.jpg",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_any_name_is_listed_and_read(tmp_path: Path, name: str) -> None:
    write(tmp_path, {f"ant/{name}": PHOTO})
    [photo] = listing(tmp_path)
    assert (photo.path, photo.label, photo.problem, content(photo)) == (f"ant/{name}", "ant", "", PHOTO)


def test_photos_with_names_of_any_kind_are_ingested(tmp_path: Path) -> None:
    names = [*NAMES.values(), *(f"{number}.jpg" for number in range(5))]
    write(tmp_path / "in", {f"ant/{name}": picture(50 + number) for number, name in enumerate(names)})
    write(tmp_path / "in", {f"bee/{number}.jpg": picture(number) for number in range(12)})
    facts, rows = run(tmp_path / "in", tmp_path / "out")
    assert facts["photos"] == len(rows) == 24
    assert {"ant/caf\\xe9.jpg", "ant/a\nb.jpg", "ant/日本 é.jpg"} < {row["path"] for row in rows}


def test_links_to_files_and_folders_are_followed(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere", {"1.jpg": PHOTO})
    write(tmp_path / "in", {"bee/1.jpg": PHOTO})
    (tmp_path / "in" / "ant").symlink_to("../elsewhere")
    (tmp_path / "in" / "bee" / "2.jpg").symlink_to("../../elsewhere/1.jpg")
    assert labels(listing(tmp_path / "in")) == {"ant/1.jpg": "ant", "bee/1.jpg": "bee", "bee/2.jpg": "bee"}
    (tmp_path / "link").symlink_to("in")
    assert len(listing(tmp_path / "link")) == 3


def test_a_path_that_is_not_a_file_gets_a_row_that_says_so(tmp_path: Path) -> None:
    write(tmp_path, {"ant/1.jpg": PHOTO})
    (tmp_path / "ant" / "up").symlink_to("..")
    (tmp_path / "ant" / "self.jpg").symlink_to("self.jpg")
    (tmp_path / "ant" / "gone.jpg").symlink_to("nowhere.jpg")
    os.mkfifo(tmp_path / "ant" / "pipe.jpg")
    found = listing(tmp_path)
    assert labels(found) == {"ant/1.jpg": "ant"}
    assert problems(found) == {
        "ant/up": ("a link to one of its parent folders", False),
        "ant/self.jpg": ("a link to itself", False),
        "ant/gone.jpg": ("a broken link", False),
        "ant/pipe.jpg": ("not a regular file: a pipe, socket or device", False),
    }


def test_hidden_and_system_files_are_passed_over_and_counted(tmp_path: Path) -> None:
    passed: Counter[str] = Counter()
    write(
        tmp_path,
        dict.fromkeys(
            [
                "ant/.1.jpg",
                ".DS_Store",
                "ant/.ipynb_checkpoints/1-checkpoint.jpg",
                "ant/Thumbs.db",
                "bee/desktop.ini",
                "__MACOSX/ant/1.jpg",
                "@eaDir/2.jpg",
            ],
            PHOTO,
        ),
    )
    write(tmp_path, {"ant/1.jpg": PHOTO})
    assert [photo.path for photo in listing(tmp_path, pass_over=lambda what: passed.update([what]))] == ["ant/1.jpg"]
    assert passed == {"hidden": 3, "system": 4}


def test_files_not_named_as_photos_are_skipped_unless_they_are_images(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "ant/1.jpg": PHOTO,
            "ant/0001": PHOTO,
            "ant/3.dat": picture(2, "PNG"),
            "ant/5.raw": picture(2, "BMP"),
            "ant/notes.txt": b"BMW, two letters of a bitmap",
            "ant/empty": b"",
            "README": b"hello",
            "cover.jpg": PHOTO,
            "cover": PHOTO,
        },
    )
    found = listing(tmp_path)
    assert labels(found) == dict.fromkeys(["ant/0001", "ant/1.jpg", "ant/3.dat", "ant/5.raw"], "ant")
    assert problems(found) == {
        "ant/notes.txt": ("not named as a photo: .txt", True),
        "ant/empty": ("not named as a photo: no extension", True),
        "README": ("not named as a photo: no extension", True),
        "cover": ("not named as a photo: no extension", True),
        "cover.jpg": ("not in a class folder", True),
    }


@pytest.mark.parametrize(
    "names",
    [("train", "val", "test"), ("Training", "VALID", "Testing"), ("train", "validation", "eval"), ("train", "dev")],
)
def test_a_folder_for_each_split_states_the_splits(tmp_path: Path, names: tuple[str, ...]) -> None:
    write(tmp_path, {f"{name}/{label}/1.jpg": PHOTO for name in names for label in ("ant", "bee")})
    found = listing(tmp_path)
    assert {photo.label for photo in found} == {"ant", "bee"}
    stated = dict(zip(names, ("train", "validation", "test"), strict=False))
    assert {photo.path.split("/")[0]: photo.split for photo in found} == stated


@pytest.mark.parametrize(
    "files",
    [
        ["train/1.jpg", "test/1.jpg"],
        ["train/1.jpg", "bus/1.jpg", "test/1.jpg"],
        ["train/steam/1.jpg", "bus/double/1.jpg"],
        ["test/a/1.jpg", "val/a/1.jpg"],
        ["train/a/1.jpg"],
    ],
)
def test_classes_that_are_named_like_splits_are_classes(tmp_path: Path, files: list[str]) -> None:
    found = listing(write(tmp_path, dict.fromkeys(files, PHOTO)))
    assert {photo.path: (photo.label, photo.split) for photo in found} == {
        name: (name.split("/")[0], "") for name in files
    }


def test_test_photos_without_classes_do_not_become_a_class_named_test(tmp_path: Path) -> None:
    found = listing(write(tmp_path, dict.fromkeys(["train/ant/1.jpg", "train/bee/1.jpg", "test/1.jpg"], PHOTO)))
    assert labels(found) == {"train/ant/1.jpg": "ant", "train/bee/1.jpg": "bee"}
    assert problems(found) == {"test/1.jpg": ("not in a class folder", True)}


def test_splits_are_found_where_no_photo_has_an_extension(tmp_path: Path) -> None:
    found = listing(write(tmp_path, dict.fromkeys(["train/ant/1", "train/bee/1", "test/ant/2"], PHOTO)))
    assert {photo.path: (photo.label, photo.split) for photo in found} == {
        "train/ant/1": ("ant", "train"),
        "train/bee/1": ("bee", "train"),
        "test/ant/2": ("ant", "test"),
    }


def test_a_folder_next_to_the_splits_is_not_a_class(tmp_path: Path) -> None:
    files = ["train/ant/1.jpg", "test/ant/2.jpg", "docs/logo", "sample/ant/3.jpg"]
    found = listing(write(tmp_path, dict.fromkeys(files, PHOTO)))
    assert labels(found) == {"train/ant/1.jpg": "ant", "test/ant/2.jpg": "ant"}
    assert problems(found) == {
        "docs/logo": ("not named as a photo: no extension", True),
        "sample/ant/3.jpg": ("not in a class folder", True),
    }


def test_photos_in_the_current_folder_have_complete_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"ant/1.jpg": PHOTO})
    monkeypatch.chdir(tmp_path)
    assert [(photo.path, photo.label) for photo in listing(Path())] == [("ant/1.jpg", "ant")]


def test_every_photo_of_a_folder_is_ingested(tmp_path: Path) -> None:
    facts, rows = run(write(tmp_path / "in", class_files()), tmp_path / "out")
    check_rows(rows, "hash")
    assert [row["path"] for row in rows] == sorted(class_files())
    assert facts["split_by"] == "hash"


def test_given_splits_of_a_folder_are_kept(tmp_path: Path) -> None:
    facts, rows = run(write(tmp_path / "in", class_files(split=True)), tmp_path / "out")
    check_rows(rows)
    assert facts["split_by"] == "given"


def test_groups_found_by_a_pattern_stay_together(tmp_path: Path) -> None:
    files = {f"{label}/p{number // 3}-{number}.jpg": encoded for label, _, number, encoded in photos()}
    _, rows = run(write(tmp_path / "in", files), tmp_path / "out", group_pattern=r"(\w+/p\d)-")
    assert {row["group"] for row in rows} == {f"{label}/p{number}" for label in ("ant", "bee") for number in range(4)}
    assert len({(row["group"], row["split"]) for row in rows}) == 8


def test_a_changed_moved_or_removed_photo_changes_the_key(tmp_path: Path) -> None:
    root = write(tmp_path / "in", class_files())
    keys = [key_of(root, tmp_path / "memory")]
    (root / "ant" / "0.jpg").write_bytes(picture(999))
    keys.append(key_of(root, tmp_path / "memory"))
    (root / "ant" / "0.jpg").rename(root / "bee" / "moved.jpg")
    keys.append(key_of(root, tmp_path / "memory"))
    (root / "bee" / "moved.jpg").unlink()
    keys.append(key_of(root, tmp_path / "memory"))
    assert len({str(key) for key in keys}) == 4
    assert key_of(root.rename(tmp_path / "elsewhere"), tmp_path / "memory") == keys[-1]
