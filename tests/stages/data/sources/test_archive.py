"""Archives: which photos are listed in zip and tar files, and with which class."""

from __future__ import annotations

import zipfile
from collections import Counter
from pathlib import Path

import pytest

from slimline.pipeline.errors import UserError
from slimline.stages.data.sources.kinds import SourceKind
from tests.stages.data.sources.making import (
    MODES,
    check_rows,
    class_files,
    content,
    key_of,
    kind_of,
    labels,
    listing,
    pack,
    photos,
    picture,
    problems,
    run,
    spooled,
)

PHOTO = picture(1)
FORMATS = ["zip", *MODES]


@pytest.mark.parametrize("kind", FORMATS)
def test_every_photo_of_an_archive_is_ingested_with_its_given_split(tmp_path: Path, kind: str) -> None:
    path = pack(tmp_path / f"in.{kind}", class_files(split=True, prefix="flowers/"))
    assert kind_of(path) is SourceKind.archive
    facts, rows = run(path, tmp_path / "out")
    check_rows(rows)
    assert [row["path"] for row in rows] == list(class_files(split=True, prefix="flowers/"))
    assert facts["split_by"] == "given"


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_zips_of_any_compression_give_the_bytes(tmp_path: Path, compression: int) -> None:
    found = spooled(pack(tmp_path / "a.zip", class_files(), compression), tmp_path)
    assert [content(photo) for photo in found] == [encoded for *_, encoded in photos()]
    assert labels(found) == {name: name.split("/")[0] for name in class_files()}


TOPS = {
    "none": (["ant/1.jpg", "bee/1.jpg"], "ant"),
    "one": (["top/ant/1.jpg", "top/bee/1.jpg"], "ant"),
    "two": (["top/data/ant/1.jpg", "top/data/bee/1.jpg"], "ant"),
    "dot": (["./top/ant/1.jpg", "./top/bee/1.jpg"], "ant"),
    "deeper": (["top/ant/x/1.jpg", "top/bee/1.jpg"], "ant"),
    "a cover next to it": (["top/ant/1.jpg", "top/bee/1.jpg", "cover.jpg"], "ant"),
    "one class alone": (["ant/1.jpg", "ant/2.jpg"], "ant"),
    "one split alone": (["top/train/ant/1.jpg", "top/train/bee/1.jpg"], "ant"),
}


@pytest.mark.parametrize(("names", "first"), TOPS.values(), ids=TOPS)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_top_folder_that_holds_everything_is_not_a_class(
    tmp_path: Path, kind: str, names: list[str], first: str
) -> None:
    found = listing(pack(tmp_path / f"a.{kind}", dict.fromkeys(names, PHOTO)))
    assert found[0].label == first
    assert {photo.label for photo in found if not photo.problem} <= {"ant", "bee"}
    assert problems(found) == ({"cover.jpg": ("not in a class folder", True)} if "cover.jpg" in names else {})


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_classes_named_like_splits_are_classes_below_a_top_folder_too(tmp_path: Path, kind: str) -> None:
    found = listing(pack(tmp_path / f"a.{kind}", dict.fromkeys(["top/train/1.jpg", "top/test/1.jpg"], PHOTO)))
    assert [(photo.label, photo.split) for photo in found] == [("train", ""), ("test", "")]
    path = pack(tmp_path / f"b.{kind}", dict.fromkeys(["top/train/ant/1.jpg", "top/test/1.jpg"], PHOTO))
    assert [(photo.label, photo.split) for photo in listing(path)] == [("ant", "train"), ("", "test")]


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_files_that_are_not_photos_are_passed_over_or_skipped(tmp_path: Path, kind: str) -> None:
    passed: Counter[str] = Counter()
    files = {
        "ant/1.jpg": PHOTO,
        "ant/0002": PHOTO,
        "ant/notes.txt": b"hello",
        "cover.jpg": PHOTO,
        "__MACOSX/ant/1.jpg": PHOTO,
        "__MACOSX/ant/._1.jpg": PHOTO,
        "ant/.2.jpg": PHOTO,
        "ant/Thumbs.db": b"x",
    }
    spool_at = tmp_path / "spools"
    spool_at.mkdir()
    path = pack(tmp_path / f"a.{kind}", files)
    found = spooled(path, spool_at, pass_over=lambda what: passed.update([what]))
    assert labels(found) == {"ant/1.jpg": "ant", "ant/0002": "ant"}
    assert [content(photo) for photo in found if not photo.problem] == [PHOTO, PHOTO]
    assert problems(found) == {
        "ant/notes.txt": ("not named as a photo: .txt", True),
        "cover.jpg": ("not in a class folder", True),
    }
    assert passed == {"hidden": 2, "system": 2}


def test_backslashes_separate_folders_in_a_zip_from_windows(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name, system in (("top\\ant\\1.jpg", 0), ("top\\bee\\2.jpg", 0)):
            entry = zipfile.ZipInfo(name)
            entry.filename, entry.create_system = name, system
            archive.writestr(entry, PHOTO)
    assert labels(listing(tmp_path / "a.zip")) == {"top/ant/1.jpg": "ant", "top/bee/2.jpg": "bee"}


def test_a_tar_that_ends_in_a_zip_is_a_tar(tmp_path: Path) -> None:
    inner = pack(tmp_path / "inner.zip", {"cat/1.jpg": PHOTO}, zipfile.ZIP_STORED).read_bytes()
    path = pack(tmp_path / "a.tar", {"ant/1.jpg": PHOTO, "bee/1.jpg": PHOTO, "bee/inner.zip": inner})
    assert labels(listing(path)) == {"ant/1.jpg": "ant", "bee/1.jpg": "bee"}


@pytest.mark.parametrize(("encoding", "label"), [("utf-8", "käfer"), ("cp437", "käfer")])
def test_names_in_a_zip_without_the_flag_for_their_encoding(tmp_path: Path, encoding: str, label: str) -> None:
    written = "käfer/1.jpg".encode(encoding)
    path = pack(tmp_path / "a.zip", {"x" * len(written): PHOTO, "bee/1.jpg": PHOTO})
    path.write_bytes(path.read_bytes().replace(b"x" * len(written), written))
    found = spooled(path, tmp_path)
    assert labels(found) == {f"{label}/1.jpg": label, "bee/1.jpg": "bee"}


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_long_and_foreign_names_are_kept(tmp_path: Path, kind: str) -> None:
    names = ["日本/é.jpg", f"{'b' * 120}/{'a' * 200}.jpg"]
    assert labels(listing(pack(tmp_path / f"a.{kind}", dict.fromkeys(names, PHOTO)))) == {
        name: name.split("/")[0] for name in names
    }


def test_a_file_that_is_not_an_archive_is_refused_with_the_allowed_kinds(tmp_path: Path) -> None:
    (tmp_path / "a.rar").write_bytes(b"Rar!" + bytes(100))
    with pytest.raises(UserError, match=r"a.rar is not a known kind of source.\n.*\.zip, \.tar"):
        listing(tmp_path / "a.rar")
    with pytest.raises(UserError, match=r"a.rar can't be unpacked: .*\nUse a complete archive: zip, tar"):
        listing(tmp_path / "a.rar", kind=SourceKind.archive)


def test_another_byte_in_an_archive_changes_the_key(tmp_path: Path) -> None:
    before = key_of(pack(tmp_path / "a.zip", class_files()), tmp_path / "memory")
    files = class_files() | {"ant/0.jpg": picture(999)}
    assert key_of(pack(tmp_path / "a.zip", files), tmp_path / "memory") != before
