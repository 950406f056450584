"""Splits: by content, stable, and never without a class."""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np
import pytest

from pipeline.errors import UserError
from stages.data.splits import SPLITS, SplitConfig, position, split_photos


def photos(count, label="a"):
    return [(hashlib.sha256(f"{label}{number}".encode()).digest(), label) for number in range(count)]


def split(found, config, **more):
    """Split photos given as (sha256, class): each sha256's (split, provisional)."""
    classes = sorted({label for _, label in found})
    labels = np.array([classes.index(label) for _, label in found])
    splits = split_photos((sha for sha, _ in found), labels, classes, config, **more)
    return {
        sha.hex(): (SPLITS[number], bool(provisional))
        for (sha, _), number, provisional in zip(found, splits.splits, splits.provisional, strict=True)
    }


def test_a_place_is_a_function_of_content_and_salt():
    assert position("ab" * 32, "") == pytest.approx(0.5887171669610118, abs=1e-15)
    assert position("ab" * 32, "other") != position("ab" * 32, "")


def test_shares_come_out_as_asked():
    counts = Counter(split for split, _ in split(photos(20_000), SplitConfig()).values())
    assert counts["test"] == pytest.approx(2000, abs=150)
    assert counts["validation"] == pytest.approx(2000, abs=150)


def test_adding_photos_moves_none():
    before = split(photos(200) + photos(50, "b"), SplitConfig())
    after = split(photos(300) + photos(80, "b"), SplitConfig())
    moved = [sha for sha, (split, provisional) in before.items() if after[sha][0] != split and not provisional]
    assert not moved
    assert len(after) == 380


@pytest.mark.parametrize("count", [3, 4, 5, 7, 12])
def test_no_split_is_without_a_class(count):
    for label in "abcdefgh":
        found = split(photos(count, label), SplitConfig())
        assert {name for name, _ in found.values()} == set(SPLITS)


def test_what_fills_an_empty_split_is_marked_provisional():
    found = split(photos(3, "c"), SplitConfig())
    placed = {sha.hex(): position(sha.hex(), "") for sha, _ in photos(3, "c")}
    provisional = [sha for sha, (_, marked) in found.items() if marked]
    assert 1 <= len(provisional) <= 2
    assert min(placed, key=placed.__getitem__) in provisional or len({name for name, _ in found.values()}) == 3


def test_another_salt_gives_another_split():
    one, other = (split(photos(200), SplitConfig(salt=salt)) for salt in ("", "1"))
    assert sum(one[sha][0] != other[sha][0] for sha in one) > 20


def test_shares_out_of_range_are_refused():
    with pytest.raises(UserError, match="out of range"):
        SplitConfig(test=0)
    with pytest.raises(UserError, match="leaves 0 percent"):
        SplitConfig(test=60, validation=40)
