"""Photos for the dataset page: a limited number of each kind, and damaged ones if they can be decoded."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageFile

from slimline.stages.data import pictured_photos as module
from slimline.stages.data.pictured_photos import (
    MOST_EXAMPLES,
    MOST_PAIRS,
    MOST_QUARANTINED,
    PER_CLASS,
    SIDE_PX,
    pictured_photos,
)
from slimline.stages.data.storing.pictures import Role
from tests.stages.data.surveys import select, stored


def photo(number: int, height: int = 24, width: int = 32, kind: str = "JPEG") -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def photos_of(label: str, count: int, start: int = 0) -> list[dict]:
    return [{"label": label, "encoded": photo(start + number)} for number in range(count)]


def found(survey, role):
    return [one for one in pictured_photos(survey, select(survey)) if one.role is role]


def test_examples_of_each_class_are_spread_over_its_photos(tmp_path):
    survey = stored([*photos_of("ant", 40), *photos_of("bee", 5, 50)], tmp_path)
    rows = [one.row for one in found(survey, Role.example)]
    assert rows == [0, 5, 11, 16, 22, 27, 33, 39, 40, 41, 42, 43, 44]
    assert len(rows) == PER_CLASS + 5


def test_many_classes_get_one_example_each_up_to_the_limit(tmp_path):
    survey = stored([row for label in range(200) for row in photos_of(f"{label:03d}", 4, 4 * label)], tmp_path)
    assert [one.row for one in found(survey, Role.example)] == [4 * label for label in range(MOST_EXAMPLES)]


def test_pictures_are_small_and_photos_are_not_enlarged(tmp_path):
    rows = [*photos_of("ant", 5), *photos_of("bee", 5, 50)]
    rows[2]["encoded"] = photo(2, 300, 400)
    sizes = [Image.open(io.BytesIO(one.jpeg)).size for one in found(stored(rows, tmp_path), Role.example)]
    assert sizes == [(SIDE_PX, 84) if row == 2 else (32, 24) for row in range(10)]


def test_pairs_show_both_photos_and_pairs_with_two_labels_come_first(tmp_path):
    rows = [*photos_of("ant", 12), *photos_of("bee", 12, 50)]
    rows[0]["phash"] = rows[1]["phash"] = 77
    rows[2]["phash"], rows[13]["phash"] = 77 << 32, (77 << 32) + 1
    shown = found(stored(rows, tmp_path), Role.twin)
    assert [(one.row, one.other) for one in shown] == [(2, 13), (13, 2), (0, 1), (1, 0)]


def test_the_numbers_of_pairs_and_quarantined_photos_are_limited(tmp_path):
    rows = [*photos_of("ant", 90), *photos_of("bee", 5, 100)]
    for row in rows[:20]:
        row["phash"] = 99
    rows += [{"label": "ant", "encoded": photo(200 + number), "reason": "odd"} for number in range(40)]
    survey = stored(rows, tmp_path)
    assert len(found(survey, Role.twin)) == 2 * MOST_PAIRS
    assert [one.row for one in found(survey, Role.quarantined)] == list(range(95, 95 + MOST_QUARANTINED))


DAMAGED = {
    "a part of a BMP": (photo(99, kind="BMP")[:-200], True),
    "a part of a JPEG": (photo(99)[:-200], False),
    "zeros": (photo(99)[:30] + bytes(400), False),
    "a JPEG's start": (b"\xff\xd8\xff", False),
    "nothing": (b"", False),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_the_decodable_part_of_a_damaged_photo_is_shown(tmp_path, damage):
    encoded, can_be_shown = DAMAGED[damage]
    bad = {"label": "ant", "encoded": encoded, "reason": "damaged"}
    survey = stored([*photos_of("ant", 5), *photos_of("bee", 5, 50), bad], tmp_path)
    assert len(found(survey, Role.quarantined)) == can_be_shown
    assert len(found(survey, Role.example)) == 10
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


def test_a_photo_is_left_out_whatever_the_reader_raises(tmp_path, monkeypatch):
    def raises(encoded, side_px):
        raise IndexError("from deep inside a reader")

    survey = stored([*photos_of("ant", 5), *photos_of("bee", 5, 50)], tmp_path)
    monkeypatch.setattr(module, "thumbnail", raises)
    assert list(pictured_photos(survey, select(survey))) == []


def test_a_photo_of_many_pixels_is_not_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MOST_PIXELS", 24 * 32)
    rows = [*photos_of("ant", 5), *photos_of("bee", 5, 50)]
    rows[3]["encoded"] = photo(3, 25, 32)
    shown = found(stored(rows, tmp_path), Role.example)
    assert [one.row for one in shown] == [0, 1, 2, 4, 5, 6, 7, 8, 9]


def test_a_photo_that_is_shown_twice_is_decoded_once(tmp_path, monkeypatch):
    rows = [*photos_of("ant", 5), *photos_of("bee", 5, 50)]
    rows[0]["phash"] = rows[1]["phash"] = 77
    seen = []
    made = module.thumbnail
    monkeypatch.setattr(module, "thumbnail", lambda encoded, side_px: seen.append(encoded) or made(encoded, side_px))
    survey = stored(rows, tmp_path)
    shown = list(pictured_photos(survey, select(survey)))
    assert len(shown) > len(seen) == len({one.row for one in shown}) == 10
