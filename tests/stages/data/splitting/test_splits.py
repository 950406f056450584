"""Splits: decided by content, stable, and with each class in each split."""

from __future__ import annotations

import hashlib
import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slimline.pipeline.errors import UserError
from slimline.stages.data.splitting.config import SPLITS, SplitBy, SplitConfig
from slimline.stages.data.splitting.splits import FREE, position, split_photos


@st.composite
def photos_in_groups(draw):
    """Draw photos by their class and the number of their group: at least three groups of each class."""
    labels = draw(st.integers(1, 3))
    more = draw(st.lists(st.tuples(st.sampled_from("abc"[:labels]), st.integers(0, 7)), max_size=40))
    return [(label, number) for label in "abc"[:labels] for number in range(3)] + more


MEMBERS = photos_in_groups()
SHARES = st.sampled_from([5, 10, 30, 45])
LIGHT = settings(max_examples=200, deadline=None)


def photos(count, label="a"):
    return [(hashlib.sha256(f"{label}{number}".encode()).digest(), label) for number in range(count)]


def split(found, config, **more):
    """Split photos given as (sha256, class); return (split, provisional) by sha256."""
    classes = sorted({label for _, label in found})
    labels = np.array([classes.index(label) for _, label in found])
    splits = split_photos((sha for sha, _ in found), labels, classes, config, **more)
    return {
        sha.hex(): (SPLITS[number], bool(provisional))
        for (sha, _), number, provisional in zip(found, splits.splits, splits.provisional, strict=True)
    }


def stated(*names):
    return np.array([SPLITS.index(name) if name else FREE for name in names], np.int8)


def drawn(members, salt):
    return [(hashlib.sha256(f"{salt} {number}".encode()).digest(), label) for number, (label, _) in enumerate(members)]


def digits(placed):
    return "".join(str(SPLITS.index(name)) for name, _ in placed.values())


def test_a_position_is_a_function_of_content_and_salt():
    assert position("ab" * 32, "") == pytest.approx(0.5887171669610118, abs=1e-15)
    assert position("ab" * 32, "other") != position("ab" * 32, "")


def test_the_assignment_is_that_of_earlier_versions():
    assert {by.name: digits(split(photos(40), SplitConfig(by=by))) for by in SplitBy} == {
        "auto": "0000000000100020000000000000200000000200",
        "hash": "0000000000100020000000000000200000000200",
        "exact": "0000000000200020000000001010200110000200",
        "given": "0000000000100020000000000000200000000200",
        "folds": "0000001000210020000000000000200001011200",
    }
    groups = [f"patient {number // 4}" for number in range(40)]
    assert digits(split(photos(40), SplitConfig(salt="2"), groups=groups)) == "0000111100000000000000000000222200000000"


def test_the_shares_are_met():
    counts = Counter(split for split, _ in split(photos(20_000), SplitConfig()).values())
    assert counts["test"] == pytest.approx(2000, abs=150)
    assert counts["validation"] == pytest.approx(2000, abs=150)
    folds = Counter(split for split, _ in split(photos(20_000), SplitConfig(by=SplitBy.folds, folds=4)).values())
    assert folds["test"] == pytest.approx(5000, abs=250)
    assert folds["validation"] == pytest.approx(2000, abs=150)


@pytest.mark.parametrize("by", [SplitBy.hash, SplitBy.folds])
@pytest.mark.parametrize("grouped", [False, True])
@LIGHT
@given(members=MEMBERS, fifth=MEMBERS, salt=st.integers(), validation=SHARES, test=SHARES)
def test_adding_photos_moves_only_provisional_ones(by, grouped, members, fifth, salt, validation, test):
    labels = {label for label, _ in members}
    more = [one for one in fifth if one[0] in labels][: max(1, len(members) // 5)]
    config = SplitConfig(by=by, validation=validation, test=test, salt=str(salt), folds=3)
    found = drawn(members + more, salt)
    groups = [f"{label}{number}" for label, number in members + more]
    before = split(found[: len(members)], config, groups=groups[: len(members)] if grouped else None)
    after = split(found, config, groups=groups if grouped else None)
    moved = [sha for sha, (name, provisional) in before.items() if after[sha][0] != name and not provisional]
    assert not moved


@LIGHT
@given(members=MEMBERS, salt=st.integers(), by=st.sampled_from(SplitBy), seed=st.integers(0, 99))
def test_the_order_of_photos_does_not_matter_and_groups_stay_together(members, salt, by, seed):
    found = drawn(members, salt)
    groups = [f"group {number}" if number else "" for _, number in members]
    states = [FREE if seed % 2 else number % 4 - 1 for _, number in members]
    order = random.Random(seed).sample(range(len(members)), len(members))
    config = SplitConfig(by=by, validation=30, test=30)
    try:
        one = split(found, config, groups=groups, given=np.array(states, np.int8))
    except UserError as error:
        with pytest.raises(UserError) as again:
            split([found[n] for n in order], config, groups=[groups[n] for n in order], given=stated_at(states, order))
        assert str(again.value).split(":")[0] == str(error).split(":")[0]
        return
    other = split([found[n] for n in order], config, groups=[groups[n] for n in order], given=stated_at(states, order))
    assert one == other
    shown: dict[str, set[object]] = {}
    for (sha, _), group in zip(found, groups, strict=True):
        shown.setdefault(group or sha.hex(), set()).add(one[sha.hex()])
    assert all(len(splits) == 1 for splits in shown.values())


def stated_at(states, order):
    return np.array([states[number] for number in order], np.int8)


@LIGHT
@given(members=MEMBERS, salt=st.integers(), validation=SHARES, test=SHARES)
def test_each_class_is_in_each_split_and_only_classes_that_lacked_are_provisional(members, salt, validation, test):
    found = drawn(members, salt)
    sizes = Counter(label for label, _ in members)
    config = SplitConfig(by=SplitBy.hash, validation=validation, test=test)
    placed = split(found, config)
    natural: dict[str, set[str]] = {label: set() for label in sizes}
    for sha, label in found:
        place = position(sha.hex(), "") * 100
        own = "test" if place < test else "validation" if place < test + validation else "train"
        natural[label].add(own)
        assert placed[sha.hex()][0] == own or placed[sha.hex()][1]
    for label in sizes:
        own = [placed[sha.hex()] for sha, one in found if one == label]
        assert {name for name, _ in own} == set(SPLITS)
        assert any(provisional for _, provisional in own) == (len(natural[label]) < 3)


@LIGHT
@given(members=MEMBERS, salt=st.integers(), folds=st.integers(2, 6), grouped=st.booleans())
def test_each_photo_is_tested_in_one_fold_and_each_class_is_trained_on_in_all(members, salt, folds, grouped):
    found = drawn(members, salt)
    groups = [f"{label}{number % 3}" for label, number in members] if grouped else None
    configs = [SplitConfig(by=SplitBy.folds, fold=fold, folds=folds, validation=40) for fold in range(folds)]
    rounds = [split(found, config, groups=groups) for config in configs]
    for sha, _ in found:
        assert sum(one[sha.hex()][0] == "test" for one in rounds) == 1
    for label in {label for label, _ in members}:
        own = [sha.hex() for sha, one in found if one == label]
        assert all(any(one[sha][0] == "train" for sha in own) for one in rounds)


def test_a_class_in_a_single_group_cannot_be_cross_validated():
    found, groups = photos(6, "a") + photos(40, "b"), ["one"] * 6 + [""] * 40
    with pytest.raises(UserError, match=r"Class 'a' has 6 photos in a single group .* none is left for training"):
        for fold in range(5):
            split(found, SplitConfig(by=SplitBy.folds, fold=fold), groups=groups)


def test_a_class_in_a_single_fold_is_spread_and_the_photo_that_moved_is_provisional():
    found = [one for one in photos(400, "a") if position(one[0].hex(), "") < 0.2][:3] + photos(40, "b")
    rounds = [split(found, SplitConfig(by=SplitBy.folds, fold=fold)) for fold in range(5)]
    first = min((sha for sha, label in found if label == "a"), key=lambda sha: position(sha.hex(), "")).hex()
    assert [one[first] for one in rounds][1] == ("test", True)
    assert [one[first][0] == "test" for one in rounds] == [False, True, False, False, False]


@pytest.mark.parametrize("by", [SplitBy.hash, SplitBy.exact])
def test_without_a_test_split_all_photos_train_or_validate(by):
    found = photos(200, "a") + photos(5, "b")
    placed = Counter(name for name, _ in split(found, SplitConfig(by=by, test=0)).values())
    assert set(placed) == {"train", "validation"}
    assert placed.total() == 205
    own = [split(found, SplitConfig(by=by, test=0))[sha.hex()][0] for sha, label in found if label == "b"]
    assert set(own) == {"train", "validation"}


@LIGHT
@given(counts=st.lists(st.integers(20, 90), min_size=1, max_size=4), validation=SHARES, test=SHARES)
def test_exact_gives_each_class_its_share_to_the_photo(counts, validation, test):
    found = [photo for label, count in zip("abcd", counts, strict=False) for photo in photos(count, label)]
    placed = split(found, SplitConfig(by=SplitBy.exact, validation=validation, test=test))
    for label, count in zip("abcd", counts, strict=False):
        own = Counter(placed[sha.hex()][0] for sha, one in found if one == label)
        shares = {"validation": round(count * validation / 100), "test": round(count * test / 100)}
        assert own == {**shares, "train": count - sum(shares.values())}


def test_stated_splits_are_kept_and_the_rest_is_split_by_hash():
    found = photos(300)
    by_hash = split(found, SplitConfig())
    names = ["train", "validation", "test", ""] * 75
    for by in (SplitBy.given, SplitBy.auto):
        placed = split(found, SplitConfig(by=by), given=stated(*names))
        for (sha, _), name in zip(found, names, strict=True):
            assert placed[sha.hex()] == ((name, False) if name else by_hash[sha.hex()])
    assert split(found, SplitConfig(by=SplitBy.hash), given=stated(*names)) == by_hash


def test_a_split_that_is_never_stated_is_taken_only_from_training_photos():
    found = photos(600)
    names = ["train", "train", "test"] * 200
    placed = split(found, SplitConfig(), given=stated(*names))
    counts = Counter((name, placed[sha.hex()][0]) for (sha, _), name in zip(found, names, strict=True))
    assert counts["test", "test"] == 200
    assert counts["train", "validation"] == pytest.approx(40, abs=20)
    assert counts["train", "test"] == 0
    alone = Counter(name for name, _ in split(found, SplitConfig(), given=stated(*["train"] * 600)).values())
    assert min(alone["validation"], alone["test"]) > 30


def test_a_stated_test_photo_never_moves_to_another_split():
    names = ["train"] * 5 + ["test"] * 5 + ["validation"] * 5
    placed = split(photos(15) + photos(4, "b"), SplitConfig(), given=stated(*names, *["train"] * 4))
    lacking = [placed[sha.hex()] for sha, _ in photos(4, "b")]
    assert {name for name, _ in lacking} == set(SPLITS)
    assert all(provisional for name, provisional in lacking if name != "train")
    with pytest.raises(UserError, match="'b' has 4 photos; the source's own splits leave none for train"):
        split(photos(15) + photos(4, "b"), SplitConfig(), given=stated(*names, *["test"] * 4))


def test_a_group_with_two_given_splits_is_refused():
    with pytest.raises(UserError, match="one group to different splits: 'p7'"):
        split(photos(4), SplitConfig(), groups=["p7", "p7", "", ""], given=stated("train", "test", "", ""))


def test_too_few_photos_or_groups_are_refused_with_the_numbers():
    with pytest.raises(UserError, match="'b' has 2 photos: too few"):
        split(photos(30) + photos(2, "b"), SplitConfig())
    groups = [f"patient {number % 2}" for number in range(30)]
    with pytest.raises(UserError, match="'a' has 30 photos in 2 groups that stay together: too few"):
        split(photos(30), SplitConfig(), groups=groups)


def test_another_salt_gives_another_split():
    one, other = (split(photos(200), SplitConfig(salt=salt)) for salt in ("", "1"))
    assert sum(one[sha][0] != other[sha][0] for sha in one) > 20


def test_shares_out_of_range_are_refused():
    with pytest.raises(UserError, match="out of range"):
        SplitConfig(test=0.5)
    with pytest.raises(UserError, match="leaves 0 percent"):
        SplitConfig(test=60, validation=40)
    with pytest.raises(UserError, match="fold=5 is out of range"):
        SplitConfig(by=SplitBy.folds, fold=5)
