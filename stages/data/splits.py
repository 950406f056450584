"""Which photos train, which validate and which test: decided by each photo's own content, or its group's name."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.config import require_range
from pipeline.errors import UserError

SPLITS = ("train", "validation", "test")
TRAIN, VALIDATION, TEST = range(3)
FREE = -1
"""In place of a split's number: the source states none."""

MOST_SHOWN = 3


class SplitBy(Enum):
    """What decides a photo's split; `auto` is `given` where the source states splits, else `hash`."""

    auto = "auto"
    hash = "hash"
    exact = "exact"
    given = "given"
    folds = "folds"


@dataclass
class SplitConfig:
    """How photos are split; `validation` and `test` are percent of each class's, and what is left trains.

    `by` hash: in expectation, each photo's own content deciding. `exact`: to the photo, but photos that are added may
    move others. `given`: as the source states; a split that it lacks is taken from its training photos. `folds`: fold
    number `fold` of `folds` tests. Another `salt` gives another split.
    """

    by: SplitBy = SplitBy.auto
    validation: float = 10.0
    test: float = 10.0
    salt: str = ""
    fold: int = 0
    folds: int = 5

    def __post_init__(self) -> None:
        require_range("ingest.split.validation", self.validation, 1, 90, "percent")
        require_range("ingest.split.test", self.test, 1, 90, "percent")
        require_range("ingest.split.folds", self.folds, 2, 100)
        require_range("ingest.split.fold", self.fold, 0, self.folds - 1)
        test = 100 / self.folds if self.by is SplitBy.folds else self.test
        if self.validation + test > 95:
            raise UserError(
                f"ingest.split leaves {100 - self.validation - test:g} percent to train on.",
                "validation and test together may take 95 percent at most.",
            )


class Splits(NamedTuple):
    """Each photo's split, as a number into `SPLITS`, and whether it stands in for a class that was missing there."""

    splits: NDArray[np.int8]
    provisional: NDArray[np.bool_]


def position(sha256: str, salt: str) -> float:
    """Return a photo's place in [0, 1), a function of its content and the salt alone."""
    return int(hashlib.sha256(f"{salt}:{sha256}".encode()).hexdigest()[:13], 16) / 16**13


def split_photos(
    sha256s: Iterable[bytes],
    labels: NDArray[np.integer[Any]],
    classes: Sequence[str],
    config: SplitConfig,
    groups: Sequence[str] | None = None,
    given: NDArray[np.int8] | None = None,
) -> Splits:
    """Split photos by the sha256 of each one's bytes, or of its group's name: what is in a group stays together.

    `labels` are numbers into `classes`; `given` are the splits that the source states, or FREE. A photo's place
    decides, so adding, renaming and moving photos moves none. A split that is left without a class takes that class's
    lowest-placed photo that another split can spare, marked provisional: only these may move when photos come.

    Raises:
        UserError: a class has too few photos for the splits, or a group is given two splits.
    """
    by_folds = config.by is SplitBy.folds
    salts = (config.salt, *([f"{config.salt} validation"] if by_folds else []))
    units, (places, *more) = _units(sha256s, groups, salts)
    count = len(places)
    stated = _stated(units, count, given, groups) if config.by in (SplitBy.given, SplitBy.auto) else None
    if config.by is SplitBy.auto and stated is not None and (stated == FREE).all():
        stated = None
    if config.by is SplitBy.exact:
        chosen = _split_exactly(units, places, labels, config)
    elif by_folds:
        rest = config.validation / (100 - 100 / config.folds)
        tests = (places * config.folds).astype(int) == config.fold
        chosen = np.where(tests, TEST, np.where(more[0] < rest, VALIDATION, TRAIN)).astype(np.int8)
    else:
        test, both = config.test / 100, (config.test + config.validation) / 100
        chosen = np.where(places < test, TEST, np.where(places < both, VALIDATION, TRAIN)).astype(np.int8)
    fixed = np.zeros(count, bool)
    if stated is not None:
        chosen, fixed = _as_stated(stated, chosen)
    provisional = _fill(chosen, fixed, places, units, labels, classes, config)
    return Splits(chosen[units], provisional[units])


def has_given(config: SplitConfig, given: NDArray[np.int8]) -> bool:
    """Say whether the source's own splits decide."""
    return config.by is SplitBy.given or (config.by is SplitBy.auto and bool((given != FREE).any()))


def _units(
    sha256s: Iterable[bytes], groups: Sequence[str] | None, salts: Sequence[str]
) -> tuple[NDArray[np.int64], list[NDArray[np.float64]]]:
    """Number what stays together: each photo's unit, and the units' places by each salt."""
    numbers: dict[str, int] = {}
    places: list[array[float]] = [array("d") for _ in salts]
    units = array("q")
    for index, sha256 in enumerate(sha256s):
        group = groups[index] if groups is not None else ""
        count = len(places[0])
        unit = numbers.setdefault(group, count) if group else count
        if unit == count:
            name = hashlib.sha256(group.encode()).hexdigest() if group else sha256.hex()
            for salt, found in zip(salts, places, strict=True):
                found.append(position(name, salt))
        units.append(unit)
    return np.array(units, np.int64), [np.array(found, np.float64) for found in places]


def _stated(
    units: NDArray[np.int64], count: int, given: NDArray[np.int8] | None, groups: Sequence[str] | None
) -> NDArray[np.int8]:
    stated = np.full(count, FREE, np.int8)
    if given is None:
        return stated
    known = np.flatnonzero(given != FREE)
    stated[units[known]] = given[known]
    torn = known[stated[units[known]] != given[known]]
    if len(torn):
        names = ", ".join(sorted({repr(groups[index]) for index in torn})[:MOST_SHOWN]) if groups is not None else ""
        raise UserError(
            f"The source gives photos of one group to different splits: {names}.",
            "Give a group one split, or have the hash decide: ingest.split.by=hash",
        )
    return stated


def _as_stated(stated: NDArray[np.int8], by_hash: NDArray[np.int8]) -> tuple[NDArray[np.int8], NDArray[np.bool_]]:
    """Take the stated splits; a split that is never stated comes from the training photos, as their hash decides."""
    there = set(stated.tolist())
    takes = np.isin(by_hash, [split for split in (VALIDATION, TEST) if split not in there])
    open_to_hash = (stated == TRAIN) & takes
    chosen = np.where((stated == FREE) | open_to_hash, by_hash, stated).astype(np.int8)
    return chosen, (stated != FREE) & (stated != TRAIN)


def _split_exactly(
    units: NDArray[np.int64], places: NDArray[np.float64], labels: NDArray[np.integer[Any]], config: SplitConfig
) -> NDArray[np.int8]:
    """Take each class's units by place until the test split has its share, then the validation split."""
    chosen = np.full(len(places), TRAIN, np.int8)
    sizes = np.bincount(units, minlength=len(places))
    label_of = np.zeros(len(places), np.int64)
    label_of[units[::-1]] = labels[::-1]
    for label in np.unique(labels):
        own = np.flatnonzero(label_of == label)
        own = own[np.argsort(places[own], kind="stable")]
        before = np.cumsum(sizes[own]) - sizes[own]
        total = sizes[own].sum()
        test, validation = (max(1, round(float(total * share / 100))) for share in (config.test, config.validation))
        chosen[own] = np.where(before < test, TEST, np.where(before < test + validation, VALIDATION, TRAIN))
    return chosen


def _fill(
    chosen: NDArray[np.int8],
    fixed: NDArray[np.bool_],
    places: NDArray[np.float64],
    units: NDArray[np.int64],
    labels: NDArray[np.integer[Any]],
    classes: Sequence[str],
    config: SplitConfig,
) -> NDArray[np.bool_]:
    """Give each split a unit of each class (in `chosen`, in place); return which were moved for that."""
    pairs = np.unique(np.stack([labels.astype(np.int64), units]), axis=1)
    counts = np.zeros((len(classes), len(SPLITS)), np.int64)
    np.add.at(counts, (pairs[0], chosen[pairs[1]]), 1)
    provisional = np.zeros(len(chosen), bool)
    for label, split in np.argwhere(counts == 0):
        if counts[label, split]:
            continue  # filled along with another class of the same group
        own = pairs[1][pairs[0] == label]
        for unit in own[np.argsort(places[own], kind="stable")]:
            shown = pairs[0][pairs[1] == unit]
            if not fixed[unit] and not provisional[unit] and (counts[shown, chosen[unit]] > 1).all():
                counts[shown, chosen[unit]] -= 1
                counts[shown, split] += 1
                chosen[unit], provisional[unit] = split, True
                break
        else:
            if split == TRAIN or not fixed.any():
                raise _too_small(classes[label], int((labels == label).sum()), len(own), SPLITS[split], config)
    return provisional


def _too_small(name: str, photos: int, units: int, split: str, config: SplitConfig) -> UserError:
    groups = f" in {units:,} groups that stay whole" if units != photos else ""
    return UserError(
        f"Class {name!r} has {photos:,} photos{groups}: too few to train, validate and test, none is left for {split}.",
        f"Each class needs at least {len(SPLITS)}, one for each split. Add photos, or leave that class out.",
    )
