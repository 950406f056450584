"""Splits into training, validation and test photos, decided by each photo's content or its group's name."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slimline.pipeline.errors import UserError
from slimline.stages.data.splitting.config import SPLITS, SplitBy, SplitConfig
from slimline.stages.data.splitting.folds import unit_folds
from slimline.stages.data.splitting.held import Held

TRAIN, VALIDATION, TEST = range(3)
FREE = -1
"""Used instead of a split's number: the source states no split."""

MOST_SHOWN = 3


class Splits(NamedTuple):
    """Each photo's split, as an index into `SPLITS`, and whether it may change when photos are added."""

    splits: NDArray[np.int8]
    provisional: NDArray[np.bool_]


def position(sha256: str, salt: str) -> float:
    """Return a photo's position in [0, 1), which depends only on its content and the salt."""
    return int(hashlib.sha256(f"{salt}:{sha256}".encode()).hexdigest()[:13], 16) / 16**13


def split_photos(
    sha256s: Iterable[bytes],
    labels: NDArray[np.integer[Any]],
    classes: Sequence[str],
    config: SplitConfig,
    groups: Sequence[str] | None = None,
    given: NDArray[np.int8] | None = None,
) -> Splits:
    """Split photos by the sha256 of each photo's bytes, or of its group's name: a group stays together.

    `labels` are indices into `classes`; `given` are the splits that the source states, or FREE. A photo's position
    decides its split, so photos that are added, renamed or moved to another folder don't change the splits of others.
    If a split has no photo of a class, it takes the photo of that class with the lowest position that another split can
    spare. That photo is marked provisional, and so are those with lower positions, which can't be spared yet: only
    these may move when photos are added. (If groups show several classes, a group that is moved for one class may
    bring others with it.) With `folds`, a test split gains and loses no photo this way: each photo is tested in one
    fold. With `test` 0 there is no test split.

    Raises:
        UserError: a class has too few photos for the splits, or a group is assigned to two splits.
    """
    by_folds = config.by is SplitBy.folds
    salts = (config.salt, *([f"{config.salt} validation"] if by_folds else []))
    units, (places, *more) = _units(sha256s, groups, salts)
    count = len(places)
    held = Held(labels, units, count)
    stated = _stated(units, count, given, groups) if config.by in (SplitBy.given, SplitBy.auto) else None
    if config.by is SplitBy.auto and stated is not None and (stated == FREE).all():
        stated = None
    if config.by is SplitBy.exact:
        chosen = _split_exactly(units, places, labels, config)
    elif by_folds:
        rest = config.validation / (100 - 100 / config.folds)
        folds = unit_folds(places, held, config.folds)
        tests = folds.folds == config.fold
        chosen = np.where(tests, TEST, np.where(more[0] < rest, VALIDATION, TRAIN)).astype(np.int8)
    else:
        test, both = config.test / 100, (config.test + config.validation) / 100
        chosen = np.where(places < test, TEST, np.where(places < both, VALIDATION, TRAIN)).astype(np.int8)
    fixed = np.zeros(count, bool)
    if stated is not None:
        chosen, fixed = _as_stated(stated, chosen)
    if by_folds:
        provisional = _fill(chosen, tests, places, held, labels, classes, (TRAIN, VALIDATION)) | folds.provisional
    else:
        filled = (TRAIN, VALIDATION, TEST) if config.test else (TRAIN, VALIDATION)
        provisional = _fill(chosen, fixed, places, held, labels, classes, filled)
    return Splits(chosen[units], provisional[units])


def has_given(config: SplitConfig, given: NDArray[np.int8]) -> bool:
    """Return whether the source's own splits are used."""
    return config.by is SplitBy.given or (config.by is SplitBy.auto and bool((given != FREE).any()))


def _units(
    sha256s: Iterable[bytes], groups: Sequence[str] | None, salts: Sequence[str]
) -> tuple[NDArray[np.int64], list[NDArray[np.float64]]]:
    """Number the units that stay together; return each photo's unit, and the units' positions for each salt."""
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
            f"The source assigns photos of one group to different splits: {names}.",
            "Assign each group to one split, or split by hash: ingest.split.by=hash",
        )
    return stated


def _as_stated(stated: NDArray[np.int8], by_hash: NDArray[np.int8]) -> tuple[NDArray[np.int8], NDArray[np.bool_]]:
    """Use the stated splits; take a split that is never stated from the training photos, by their hash."""
    there = set(stated.tolist())
    takes = np.isin(by_hash, [split for split in (VALIDATION, TEST) if split not in there])
    open_to_hash = (stated == TRAIN) & takes
    chosen = np.where((stated == FREE) | open_to_hash, by_hash, stated).astype(np.int8)
    return chosen, (stated != FREE) & (stated != TRAIN)


def _split_exactly(
    units: NDArray[np.int64], places: NDArray[np.float64], labels: NDArray[np.integer[Any]], config: SplitConfig
) -> NDArray[np.int8]:
    """Assign each class's units by position: to the test split until it has its share, then to the validation split."""
    chosen = np.full(len(places), TRAIN, np.int8)
    sizes = np.bincount(units, minlength=len(places))
    label_of = np.full(len(places), np.iinfo(np.int64).max)
    np.minimum.at(label_of, units, labels)  # a group of several classes counts for the first, whatever the order
    for label in np.unique(labels):
        own = np.flatnonzero(label_of == label)
        own = own[np.argsort(places[own], kind="stable")]
        before = np.cumsum(sizes[own]) - sizes[own]
        total = sizes[own].sum()
        test, validation = (
            max(1, round(float(total * share / 100))) if share else 0 for share in (config.test, config.validation)
        )
        chosen[own] = np.where(before < test, TEST, np.where(before < test + validation, VALIDATION, TRAIN))
    return chosen


def _fill(
    chosen: NDArray[np.int8],
    fixed: NDArray[np.bool_],
    places: NDArray[np.float64],
    held: Held,
    labels: NDArray[np.integer[Any]],
    classes: Sequence[str],
    splits: Sequence[int],
) -> NDArray[np.bool_]:
    """Give each of `splits` a unit of each class (`chosen` is changed in place); return which units may move later.

    These are the units that were moved, and those with lower positions that could not be spared: they can be, once
    their split has more photos of the class. If the test split is given, training takes the last validation photo.
    """
    counts = np.zeros((len(classes), len(SPLITS)), np.int64)
    np.add.at(counts, (held.labels, chosen[held.units]), 1)
    moved, provisional = np.zeros(len(chosen), bool), np.zeros(len(chosen), bool)
    for label, split in np.argwhere(counts == 0):
        if split not in splits:
            continue
        own = held.units_of(label)
        for unit in own[np.argsort(places[own], kind="stable")]:
            if fixed[unit]:
                continue
            provisional[unit] = True
            shown = held.labels_of(unit)
            least = 0 if split == TRAIN and chosen[unit] == VALIDATION and TEST not in splits else 1
            if not moved[unit] and (counts[shown, chosen[unit]] > least).all():
                if not counts[label, split]:  # otherwise a group that was moved for another class has filled it
                    counts[shown, chosen[unit]] -= 1
                    counts[shown, split] += 1
                    chosen[unit], moved[unit] = split, True
                break
        else:
            if not counts[label, split] and (split == TRAIN or not fixed.any()) and TEST in splits:
                raise _too_small(classes[label], int((labels == label).sum()), own, fixed, SPLITS[split])
            if not counts[label, split] and split == TRAIN:
                raise _one_unit(classes[label], int((labels == label).sum()), own)
    return provisional


def _too_small(name: str, photos: int, own: NDArray[np.int64], fixed: NDArray[np.bool_], split: str) -> UserError:
    groups = f" in {len(own):,} groups that stay together" if len(own) != photos else ""
    if fixed[own].any():
        return UserError(
            f"Class {name!r} has {photos:,} photos{groups}; the source's own splits leave none for {split}.",
            "Mark some of them as training photos, or split by hash: ingest.split.by=hash",
        )
    return UserError(
        f"Class {name!r} has {photos:,} photos{groups}: too few for {len(SPLITS)} splits, none is left for {split}.",
        f"Each class needs at least {len(SPLITS)}, one per split. Add photos, or leave the class out.",
    )


def _one_unit(name: str, photos: int, own: NDArray[np.int64]) -> UserError:
    groups = "a single group that stays together" if len(own) == 1 and photos > 1 else "groups that stay together"
    return UserError(
        f"Class {name!r} has {photos:,} photos in {groups}: when they are tested, none is left for training.",
        "Add photos of other groups, or leave the class out.",
    )
