from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from slimline.pipeline import artifact
from slimline.pipeline.artifact import (
    canonical_json,
    content_digest,
    digest_text,
    read_artifact,
    seal,
    write_json,
    write_text,
)

FACTS = {"count": 3, "top1": 0.5, "reading_seconds": 1.0, "images_per_second": 70.0}
DIGEST = "66eed28cbec7b20deacb9202629dc7cc3c9c62b14085831217cbd581185a1c84"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "made"
    (made / "shards").mkdir(parents=True)
    (made / "logs").mkdir()
    (made / "labels.txt").write_text("daisy\nrose\n")
    (made / "shards" / "0.tfrecord").write_bytes(b"\x00\x01")
    (made / "logs" / "events").write_text("10:31")
    return made


def test_a_content_digest_is_made_of_file_digests_and_lasting_facts(folder: Path) -> None:
    assert digest_text("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    expected = (
        '{"facts":{"count":3,"top1":0.5},"files":{'
        '"labels.txt":"7d1b5fd1794bcb10838a584fa51d0152acc9cdf1a0928494d16c3040e69ef44c",'
        '"shards/0.tfrecord":"b413f47d13ee2fe6c845b2ee141af81de858df4ec549a58b7970bb96645bc8d2"}}'
    )
    assert content_digest(folder, FACTS) == digest_text(expected)
    assert content_digest(folder, FACTS) == DIGEST


def rewrite_log(folder: Path) -> None:
    (folder / "logs" / "events").write_text("10:32")


def add_log(folder: Path) -> None:
    (folder / "logs" / "train").mkdir()
    (folder / "logs" / "train" / "events").write_text("more")


def remove_logs(folder: Path) -> None:
    shutil.rmtree(folder / "logs")


def touch(folder: Path) -> None:
    os.utime(folder / "labels.txt", (1, 1))


def write_record(folder: Path) -> None:
    (folder / "artifact.json").write_text("{}")


@pytest.mark.parametrize("change", [rewrite_log, add_log, remove_logs, touch, write_record])
def test_logs_times_and_the_record_stay_outside_the_digest(folder: Path, change: Callable[[Path], None]) -> None:
    change(folder)
    assert content_digest(folder, FACTS) == DIGEST


@pytest.mark.parametrize(
    "facts",
    [
        {**FACTS, "reading_seconds": 2.0},
        {**FACTS, "images_per_second": 1.0},
        {"count": 3, "top1": 0.5},
        {**FACTS, "headline": "3 photos"},
    ],
)
def test_timing_facts_and_the_headline_stay_outside_the_digest(folder: Path, facts: dict[str, float]) -> None:
    assert content_digest(folder, facts) == DIGEST


@pytest.mark.parametrize(
    "facts",
    [
        {**FACTS, "count": 4},
        {**FACTS, "top1": 0.25},
        {**FACTS, "seconds_of_arc": 1},
        {**FACTS, "logs": 1},
        {**FACTS, "headlines": 1},
        {"top1": 0.5},
    ],
)
def test_every_other_fact_is_in_the_digest(folder: Path, facts: dict[str, float]) -> None:
    assert content_digest(folder, facts) != DIGEST


def test_files_that_are_only_shown_stay_outside_the_digest_by_their_path(folder: Path) -> None:
    (folder / "pictures.arrow").write_bytes(b"small")
    shown = content_digest(folder, FACTS, ["pictures.arrow"])
    assert shown == DIGEST != content_digest(folder, FACTS)
    (folder / "more").mkdir()
    (folder / "more" / "pictures.arrow").write_bytes(b"small")
    assert content_digest(folder, FACTS, ["pictures.arrow"]) != DIGEST


def edit(folder: Path) -> None:
    (folder / "labels.txt").write_text("daisy\nRose\n")


def rename(folder: Path) -> None:
    (folder / "labels.txt").rename(folder / "names.txt")


def move(folder: Path) -> None:
    (folder / "labels.txt").rename(folder / "shards" / "labels.txt")


def remove(folder: Path) -> None:
    (folder / "labels.txt").unlink()


def add_empty(folder: Path) -> None:
    (folder / "empty").touch()


def add_hidden(folder: Path) -> None:
    (folder / ".hidden").touch()


def add_inner_logs(folder: Path) -> None:
    (folder / "shards" / "logs").mkdir()
    (folder / "shards" / "logs" / "events").touch()


def add_inner_record(folder: Path) -> None:
    (folder / "shards" / "artifact.json").touch()


def add_namesake(folder: Path) -> None:
    (folder / "logs.txt").touch()


def add_file_named_logs(folder: Path) -> None:
    shutil.rmtree(folder / "logs")
    (folder / "logs").write_text("a result, in a file of this name")


CHANGES = [
    edit,
    rename,
    move,
    remove,
    add_empty,
    add_hidden,
    add_inner_logs,
    add_inner_record,
    add_namesake,
    add_file_named_logs,
]


@pytest.mark.parametrize("change", CHANGES)
def test_every_other_file_is_in_the_digest_by_name_and_bytes(folder: Path, change: Callable[[Path], None]) -> None:
    change(folder)
    assert content_digest(folder, FACTS) != DIGEST


def test_a_link_is_refused_as_its_content_could_change(folder: Path) -> None:
    (folder / "alias").symlink_to("shards")
    with pytest.raises(ValueError, match="alias is a link"):
        content_digest(folder, FACTS)


def test_moving_a_folder_does_not_change_its_digest(folder: Path, tmp_path: Path) -> None:
    assert content_digest(folder.rename(tmp_path / "elsewhere"), FACTS) == DIGEST


@pytest.mark.parametrize(
    "name", ["a\nb.txt", "日本.txt", os.fsdecode(b"caf\xe9.txt")], ids=["newline", "unicode", "bytes"]
)
def test_a_file_of_any_name_is_in_the_digest(folder: Path, name: str) -> None:
    (folder / name).touch()
    assert content_digest(folder, FACTS) != DIGEST


def test_a_sealed_artifact_can_be_read_back(folder: Path) -> None:
    seal(folder, "gather", "ab12", 1.5, {**FACTS, "note": "Straße"}, {"format": 1})
    found = read_artifact(folder, 7)
    assert (found.stage, found.key, found.generation, found.seconds) == ("gather", "ab12", 7, 1.5)
    assert found.facts == {**FACTS, "note": "Straße"}
    assert found.parts == {"format": 1}
    assert found.path == folder
    assert found.digest == content_digest(folder, found.facts)


def test_canonical_json_is_one_text_for_one_value() -> None:
    assert canonical_json({"b": [1, 2.5, None], "a": {"é": True}}) == '{"a":{"é":true},"b":[1,2.5,null]}'


def test_json_is_written_indented_and_readable(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"name": "Straße"})
    assert (tmp_path / "a.json").read_bytes() == '{\n  "name": "Straße"\n}\n'.encode()
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("fails", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str) -> None:
    write_text(tmp_path / "a.txt", "old")

    def fail(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(artifact.os, fails, fail)
    with pytest.raises(OSError, match="no space left"):
        write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "old"


def test_a_value_that_is_not_json_leaves_the_old_file(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", 1)
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"path": tmp_path})
    assert (tmp_path / "a.json").read_text() == "1\n"


def test_a_reader_never_sees_a_partial_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_text(tmp_path / "a.txt", "old")
    seen = []
    replace = os.replace

    def look(source: Path, target: Path) -> None:
        seen.append((Path(source).read_text(), (tmp_path / "a.txt").read_text()))
        replace(source, target)
        seen.append(("", (tmp_path / "a.txt").read_text()))

    monkeypatch.setattr(artifact.os, "replace", look)
    write_text(tmp_path / "a.txt", "new")
    assert seen == [("new", "old"), ("", "new")]
