"""Known photos: found by their whole sha256, stored in parts that are complete or absent, if usable unchanged."""

from __future__ import annotations

from pathlib import Path

import pytest

from slimline.stages.data.checking import known_photos
from slimline.stages.data.checking.known_photos import Known, KnownPhotos
from tests.stages.data.surveys import sha256, survey_of


def remembered(folder: Path, rows: list[dict]) -> int:
    return KnownPhotos(folder).remember(survey_of(rows).batches)


def test_remembered_photos_are_found_by_sha256_in_any_part(tmp_path):
    hashes = [None, 0, (1 << 64) - 1]
    rows = [{"content": number, "width": 10 + number, "phash": hashes[number % 3]} for number in range(50)]
    assert remembered(tmp_path, rows[:30]) == 30
    assert remembered(tmp_path, rows) == 20
    assert len(list(tmp_path.iterdir())) == 2
    known = KnownPhotos(tmp_path)
    for number in range(50):
        assert known.find(sha256(number)) == Known("jpeg", 10 + number, 30, hashes[number % 3])
    assert known.find(sha256("another")) is None


def test_a_sha256_with_the_same_start_is_another_photo(tmp_path):
    ends = [bytes(23) + b"\1", bytes(24), b"\xff" * 24]
    rows = [{"sha256": bytes(8) + end, "width": number} for number, end in enumerate(ends)]
    remembered(tmp_path, rows)
    known = KnownPhotos(tmp_path)
    assert [known.find(row["sha256"]).width for row in rows] == [0, 1, 2]
    assert known.find(bytes(31) + b"\2") is None


@pytest.mark.parametrize(
    "row", [{"reason": "damaged"}, {"reencoded": True}, {"skipped": True}, {"sha256": None}], ids=str
)
def test_photos_that_cannot_be_used_unchanged_are_not_remembered(tmp_path, row):
    assert remembered(tmp_path, [row]) == 0
    assert not list(tmp_path.iterdir())
    assert KnownPhotos(tmp_path).find(sha256(0)) is None


def test_many_photos_are_stored_in_several_parts(tmp_path, monkeypatch):
    monkeypatch.setattr("slimline.stages.data.checking.survey.CHUNK", 4)
    monkeypatch.setattr(known_photos, "PART_ROWS", 8)
    assert remembered(tmp_path, [{"content": number} for number in range(20)]) == 20
    assert len(list(tmp_path.iterdir())) == 3
    assert all(KnownPhotos(tmp_path).find(sha256(number)) for number in range(20))


@pytest.mark.parametrize("content", [b"", b"not an Arrow file"])
def test_a_damaged_part_counts_as_absent_and_is_named(tmp_path, caplog, content):
    remembered(tmp_path, [{"content": 1}])
    remembered(tmp_path, [{"content": 2}])
    parts = list(tmp_path.iterdir())
    held = [KnownPhotos(tmp_path).find(sha256(number)) for number in (1, 2)]
    parts[0].write_bytes(content)
    known = KnownPhotos(tmp_path)
    assert sorted(known.find(sha256(number)) is None for number in (1, 2)) == [False, True]
    assert all(held)
    assert parts[0].name in caplog.text


def test_a_part_that_cannot_be_written_to_the_disk_leaves_no_file(tmp_path, monkeypatch):
    def full(path):
        raise OSError("no space left")

    monkeypatch.setattr(known_photos, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        remembered(tmp_path, [{"content": 1}])
    assert not list(tmp_path.iterdir())
