"""Selection: no photo is used twice, none looks like a test photo, and each unused photo has a reason."""

from __future__ import annotations

import logging
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slimline.pipeline.errors import UserError
from slimline.stages.data.checking.survey import CHUNK
from slimline.stages.data.splitting.config import SplitBy, SplitConfig
from slimline.stages.data.splitting.outcomes import NONE, Outcome, count_left_out
from slimline.stages.data.splitting.selection import select_photos
from slimline.stages.data.splitting.splits import TEST, position
from slimline.stages.data.storing.index import reason
from slimline.stages.images.faults import Fault
from tests.stages.data.surveys import HASH, far_hashes, outcomes, photos_of, select, sha256, split_names, survey_of


def count(survey, selection):
    return count_left_out(survey, selection.outcomes, selection.other, selection.test_copies)


FOUR = [*photos_of("ant", 4), *photos_of("bee", 4)]
GIVEN = SplitConfig(by=SplitBy.given)


def stating(label: str, *splits: str, **more) -> list[dict]:
    return [
        {**row, "stated_split": split} for row, split in zip(photos_of(label, len(splits), **more), splits, strict=True)
    ]


SIX = ("train", "train", "validation", "validation", "test", "test")
"""Two photos of each split."""


def test_one_of_the_photos_with_the_same_bytes_is_kept():
    rows = [*FOUR, *FOUR[:2], FOUR[0]]
    found = select(survey_of(rows))
    assert outcomes(found) == ["used"] * 8 + ["duplicate"] * 3
    assert found.other.tolist() == [NONE] * 8 + [0, 1, 0]
    assert reason(survey_of(rows), found, 10) == "the same bytes as ant/0.jpg"
    assert found.counts() == {"used": 8, "quarantined": 0, "duplicate": 3, "near_twin": 0, "skipped": 0}


def test_photos_with_the_same_bytes_and_two_labels_are_all_left_out():
    rows = [*FOUR, {"label": "bee", "content": "x"}, {"label": "ant", "content": "x"}, {"label": "bee", "content": "x"}]
    survey = survey_of(rows)
    found = select(survey)
    assert outcomes(found) == ["used"] * 8 + ["quarantined"] * 3
    assert found.other[8:].tolist() == [9, 8, 9]
    assert reason(survey, found, 8) == "the same bytes as ant/9.jpg, which is labeled ant: one of the labels is wrong"


def test_the_same_bytes_with_three_labels_name_a_photo_with_another_label():
    rows = [*FOUR, *photos_of("cow", 4), *({"label": label, "content": "x"} for label in ("cow", "ant", "bee", "cow"))]
    found = select(survey_of(rows))
    assert outcomes(found)[12:] == ["quarantined"] * 4
    assert found.other[12:].tolist() == [13, 12, 12, 13]
    labels = [row["label"] for row in rows]
    assert all(labels[found.other[row]] != labels[row] for row in range(12, 16))


def test_with_given_splits_the_test_copy_is_kept():
    copies = [
        {"label": "ant", "content": "x", "stated_split": split} for split in ("train", "test", "validation", None)
    ]
    rows = [*stating("ant", *SIX), *stating("bee", *SIX), *copies]
    found = select(survey_of(rows), GIVEN)
    assert outcomes(found)[12:] == ["duplicate", "used", "duplicate", "duplicate"]
    assert split_names(found)[13] == "test"
    assert found.given
    by_hash = select(survey_of(rows))
    assert outcomes(by_hash)[12:] == ["used", "duplicate", "duplicate", "duplicate"]
    assert not by_hash.given


def test_unusable_photos_are_in_no_split_and_have_a_reason():
    rows = [
        *FOUR,
        {"label": "bee", "reason": "the file is empty", "sha256": None},
        {"label": None, "reason": "row 7 has no label"},
        {"label": None},
        {"label": "notes", "skipped": True, "reason": "not named as a photo: .txt", "sha256": None},
    ]
    survey = survey_of(rows)
    found = select(survey)
    assert outcomes(found)[8:] == ["quarantined", "quarantined", "quarantined", "skipped"]
    assert [reason(survey, found, row) for row in range(8, 12)] == [
        "the file is empty",
        "row 7 has no label",
        "it has no label",
        "not named as a photo: .txt",
    ]
    assert found.classes == ["ant", "bee"]
    assert found.splits[8:].tolist() == [-1] * 4
    assert sum(len(found.used(split)) for split in range(3)) == 8


def test_an_unusable_photo_makes_no_other_a_duplicate():
    rows = [{"label": "bee", "content": "x", "reason": "too large"}, {"label": "ant", "content": "x"}, *FOUR]
    assert outcomes(select(survey_of(rows)))[:2] == ["quarantined", "used"]


def test_a_class_that_lost_all_of_its_photos_is_refused_with_the_kinds_of_reasons():
    heic = {"label": "cow", "reason": "it is HEIC", "fault": "HEIC", "sha256": None}
    empty = {"label": "cow", "reason": "the file is empty", "fault": "empty", "sha256": None}
    rows = [*photos_of("ant", 9), *photos_of("bee", 9), *[heic] * 4, empty]
    with pytest.raises(UserError, match=r"too few photos of: cow \(0\)") as refused:
        select(survey_of(rows))
    assert str(refused.value).endswith("Left out 5 of 23: 4 HEIC (pip install pillow-heif), 1 empty.")


def test_the_same_photos_in_two_classes_are_refused_with_their_number_and_a_pair():
    rows = [*photos_of("ant", 20), *[{**row, "label": "ant copy"} for row in photos_of("ant", 20)]]
    with pytest.raises(UserError) as refused:
        select(survey_of(rows))
    first, advice = str(refused.value).split("\n")
    assert first == (
        "The same 20 photos are labeled ant and ant copy: ant/0.jpg and ant copy/20.jpg are duplicates, for example."
    )
    assert "max_bad_fraction" not in advice  # without them, no class is left


def test_a_class_that_needs_its_copies_is_refused_even_if_they_are_few():
    rows = [*photos_of("ant", 99), *photos_of("bee", 99), *[{**row, "label": "cow"} for row in photos_of("ant", 3)]]
    with pytest.raises(UserError, match=r"The same 3 photos are labeled ant and cow: ant/0.jpg and cow/198.jpg"):
        select(survey_of(rows))


def test_a_few_photos_with_two_labels_are_left_out_and_many_refused():
    rows = [*photos_of("ant", 20), *photos_of("bee", 20), *[{**row, "label": "bee"} for row in photos_of("ant", 2)]]
    found = select_photos(survey_of(rows), HASH, None, 3, 0.1)
    assert count(survey_of(rows), found) == {Fault.labeled_twice: 4}
    with pytest.raises(UserError, match="The same 2 photos are labeled ant and bee") as refused:
        select_photos(survey_of(rows), HASH, None, 3, 0.05)
    assert "leave all of them out: ingest.max_bad_fraction=0.1" in str(refused.value)


def test_copies_of_given_test_photos_are_told_from_other_duplicates(caplog):
    copies = [{**row, "stated_split": "train"} for row in photos_of("ant", 6)[4:]]
    twice = [{**row, "stated_split": "train"} for row in photos_of("bee", 1)]
    rows = [*stating("ant", *SIX), *stating("bee", *SIX), *copies, *twice]
    survey = survey_of(rows)
    found = select(survey, GIVEN)
    assert count(survey, found) == {Fault.test_duplicate: 2, Fault.duplicate: 1}
    assert reason(survey, found, 12) == "the same bytes as the test photo ant/4.jpg"
    assert reason(survey, found, 14) == "the same bytes as bee/6.jpg"
    assert "2 duplicates of test photos are left out: ant/12.jpg has the same bytes as ant/4.jpg" in caplog.text


def test_a_training_split_that_copies_leave_empty_is_refused_after_a_pair_of_them(caplog):
    given = ("validation", "validation", "test", "test")
    copies = [{**row, "stated_split": "train"} for row in photos_of("ant", 4)[2:]]
    rows = [*stating("ant", *given), *copies, *stating("bee", "train", *given)]
    with pytest.raises(UserError, match="the source's own splits leave none for train"):
        select(survey_of(rows), GIVEN, least=2)
    assert "2 duplicates of test photos are left out: ant/4.jpg has the same bytes as ant/2.jpg" in caplog.text


def test_every_photo_that_is_not_used_is_counted_once():
    rows = [
        *FOUR,
        {"label": "bee", "reason": "the file is empty", "fault": "empty", "sha256": None},
        {"label": None, "reason": "row 7 has no label", "fault": "without a label"},
        {"label": None},
        {"label": "notes", "skipped": True, "reason": "named .txt", "fault": "not an image", "sha256": None},
        {"label": "ant", "content": "ant 0"},
    ]
    survey = survey_of(rows)
    assert count(survey, select(survey)) == {
        Fault.empty: 1,
        Fault.unlabeled: 2,
        Fault.not_an_image: 1,
        Fault.duplicate: 1,
    }


def test_sources_without_photos_or_with_one_class_are_refused():
    with pytest.raises(UserError, match="holds no photos"):
        select(survey_of([]))
    with pytest.raises(UserError, match="holds no photos"):
        select(survey_of([{"label": "ant", "reason": "the file is empty"}]))
    with pytest.raises(UserError, match="one class only, 'ant'"):
        select(survey_of(photos_of("ant", 9)))


def test_photos_that_look_like_a_test_photo_do_not_train():
    base = far_hashes(12)
    rows = [*stating("ant", *SIX), *stating("bee", *SIX)]
    for row, phash in zip(rows, base, strict=True):
        row["phash"] = phash
    rows[0]["phash"] = base[4] ^ 0b11111  # 5 bits from one test photo, 2 from the next
    rows[5]["phash"] = base[4] ^ 0b11100
    rows[8]["phash"] = base[10] ^ 0b1111111  # 7 bits
    survey = survey_of(rows)
    found = select(survey, GIVEN)
    assert [row for row, outcome in enumerate(outcomes(found)) if outcome == "near_twin"] == [0]
    assert (found.other[0], found.bits[0]) == (5, 2)
    assert reason(survey, found, 0) == "looks like the test photo ant/5.jpg: 2 of 64 bits of their hashes differ"
    assert sorted(zip(*(part.tolist() for part in found.pairs), strict=True)) == [(0, 4, 5), (0, 5, 2), (4, 5, 3)]
    assert outcomes(select(survey, GIVEN, twin_bits=7)).count("near_twin") == 2
    untouched = select(survey, GIVEN, twin_bits=None)
    assert outcomes(untouched) == ["used"] * 12
    assert [len(part) for part in untouched.pairs] == [0, 0, 0]


def test_in_a_chain_of_twins_only_those_next_to_a_test_photo_are_left_out():
    rows = [*stating("ant", *SIX, "train", "train"), *stating("bee", *SIX)]
    rows[4]["phash"], rows[0]["phash"], rows[6]["phash"] = 0xFF00FF00FF00FF00, 0xFF00FF00FF00FF0F, 0xFF00FF00FF00FFFF
    found = select(survey_of(rows), GIVEN)
    assert (outcomes(found)[0], outcomes(found)[6]) == ("near_twin", "used")


def test_a_class_that_twins_leave_without_training_photos_is_refused():
    rows = [*stating("ant", *SIX, phash=7 << 40), *stating("bee", *SIX)]
    with pytest.raises(UserError, match=r"The train split has no photo left of: ant\.\n.*ingest.twin_bits=null"):
        select(survey_of(rows), GIVEN)


def test_many_twins_and_a_class_without_validation_photos_give_warnings(caplog):
    rows = [*stating("ant", *SIX, "train"), *stating("bee", *SIX)]
    for row in (0, 2, 3, 4):
        rows[row]["phash"] = 7 << 40
    with caplog.at_level(logging.WARNING):
        select(survey_of(rows), GIVEN)
    assert "3 photos look like test photos" in caplog.text
    assert "the validation split has no photo of: ant" in caplog.text


def test_rows_of_later_chunks_are_found_by_their_number():
    rows = [*photos_of("ant", CHUNK + 200), *photos_of("bee", CHUNK)]
    rows[5] = {"label": "ant", "content": f"bee {CHUNK - 1}"}
    rows[-2] = {"label": "bee", "reason": "too large"}
    for row in rows:
        row["group"] = None
    found = select(survey_of(rows))
    assert (found.other[5], found.other[len(rows) - 1]) == (len(rows) - 1, 5)
    assert found.counts() == {
        "used": len(rows) - 3,
        "quarantined": 3,
        "duplicate": 0,
        "near_twin": 0,
        "skipped": 0,
    }
    for row in (0, CHUNK, len(rows) - 3):
        place = position(sha256(rows[row]["content"]).hex(), "")
        expected = "test" if place < 0.1 else "validation" if place < 0.2 else "train"
        assert split_names(found)[row] == expected


def any_rows(seed: int) -> list[dict]:
    """Draw rows: many are twins, some are copies, have another label, are unusable or skipped."""
    draw = random.Random(seed)
    groups = [None, None, None, "p1", "p2"] if seed % 3 == 0 else [None]
    stated = [None, "train", "validation", "test"] if seed % 2 else [None]
    return [
        {
            "label": draw.choice(["ant", "bee"] * 20 + [None]),
            "content": draw.randrange(400),
            "phash": draw.choice([None, *(draw.randrange(1 << 11) for _ in range(9))]),
            "stated_split": draw.choice(stated),
            "group": draw.choice(groups),
            "reason": draw.choice([None] * 20 + ["too large"]),
            "skipped": draw.random() < 0.05,
        }
        for _ in range(draw.randint(20, 60))
    ]


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 1 << 32), bits=st.integers(0, 3), by=st.sampled_from(SplitBy))
def test_no_photo_is_lost_and_no_used_one_looks_like_a_used_test_photo(seed, bits, by):
    rows = any_rows(seed)
    survey = survey_of(rows)
    try:
        found = select(survey, SplitConfig(by=by, validation=30, test=30), twin_bits=bits)
    except UserError:
        return
    used = found.outcomes == Outcome.used
    assert sum(found.counts().values()) == len(rows)
    for row in np.flatnonzero(~used):
        assert reason(survey, found, int(row)) or rows[row]["skipped"]
    assert len({rows[row]["content"] for row in np.flatnonzero(used)}) == used.sum()
    tests = [rows[row]["phash"] for row in np.flatnonzero(used & (found.splits == TEST))]
    for row in np.flatnonzero(used & (found.splits != TEST)):
        mine = rows[row]["phash"]
        assert all(None in (mine, one) or (mine ^ one).bit_count() > bits for one in tests)
    for row in np.flatnonzero(found.outcomes == Outcome.near_twin):
        twin = found.other[row]
        assert used[twin] and found.splits[twin] == TEST
        distances = [(rows[row]["phash"] ^ one).bit_count() for one in tests if one is not None]
        assert found.bits[row] == min(distances) <= bits
