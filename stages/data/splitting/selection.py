"""Selection: which of a source's photos are used, in which split, and why the others are not."""

from __future__ import annotations

import logging
from collections import Counter
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slimline.pipeline.errors import UserError
from slimline.stages.data.checking.near_duplicates import near_pairs
from slimline.stages.data.checking.survey import Survey
from slimline.stages.data.sources.layout import split_named
from slimline.stages.data.splitting.classes import check_classes
from slimline.stages.data.splitting.config import SPLITS, SplitConfig
from slimline.stages.data.splitting.splits import FREE, TEST, TRAIN, VALIDATION, Splits, has_given, split_photos

log = logging.getLogger(__name__)

NONE = -1
"""Used instead of a row's number: no other photo."""

MANY_TWINS = 0.1


class Outcome(IntEnum):
    """Outcome of a photo: used, or why it is not."""

    used = 0
    quarantined = 1
    duplicate = 2
    near_twin = 3
    skipped = 4


class Selection(NamedTuple):
    """Result for each photo [photos]: outcome, label (an index into `classes`), split (an index into SPLITS, or -1).

    `other` is the row of the photo that it duplicates or looks like, or -1. `pairs` are rows of photos that look the
    same: first, second, number of bits that differ. `given` is true if the source's own splits were used.
    """

    classes: list[str]
    outcomes: NDArray[np.int8]
    labels: NDArray[np.int32]
    splits: NDArray[np.int8]
    provisional: NDArray[np.bool_]
    other: NDArray[np.int64]
    bits: NDArray[np.uint8]
    pairs: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]
    given: bool

    def counts(self) -> dict[str, int]:
        """Count the photos by outcome."""
        found = Counter(self.outcomes.tolist())
        return {outcome.name: found[outcome] for outcome in Outcome}

    def used(self, split: int) -> NDArray[np.int64]:
        """Return the rows of a split's used photos."""
        return np.flatnonzero((self.outcomes == Outcome.used) & (self.splits == split))


def select_photos(survey: Survey, config: SplitConfig, twin_bits: int | None, least: int) -> Selection:
    """Leave out unusable and duplicate photos, split the rest, and leave out near-duplicates of test photos.

    `twin_bits` is the number of bits in which the perceptual hashes of photos that look the same may differ; None
    compares no photos.

    Raises:
        UserError: one class or none, two class names that look the same, a class with fewer than `least` photos.
    """
    labels, classes = survey.codes("label")
    outcomes = np.where(survey.present("reason"), Outcome.quarantined, Outcome.used).astype(np.int8)
    outcomes[labels < 0] = Outcome.quarantined
    skipped = survey.column("skipped", False).astype(bool)
    outcomes[skipped] = Outcome.skipped
    other = np.full(survey.count, NONE, np.int64)
    stated, split_values = survey.codes("stated_split")
    given = np.array([*(SPLITS.index(split_named(value)) for value in split_values), FREE], np.int8)[stated]
    _drop_duplicates(survey, outcomes, labels, other, given if has_given(config, given) else None)
    rows = np.flatnonzero(outcomes == Outcome.used)
    kept = np.unique(labels[~skipped & (labels >= 0)])  # a class that lost all of its photos is an error
    renumbered = np.full(len(classes) + 1, -1, np.int32)
    renumbered[kept] = np.arange(len(kept))
    labels, classes = renumbered[labels], [classes[number] for number in kept]
    counts = np.bincount(labels[rows], minlength=len(classes)).tolist()
    check_classes(Counter(dict(zip(classes, counts, strict=True))), least, "Without the unusable photos, the source")
    split = _split(survey, rows, labels, classes, config, given)
    splits, provisional = np.full(survey.count, -1, np.int8), np.zeros(survey.count, bool)
    splits[rows], provisional[rows] = split
    bits = np.zeros(survey.count, np.uint8)
    pairs = _find_pairs(survey, rows, twin_bits)
    _drop_twins(outcomes, splits, other, bits, pairs)
    selection = Selection(
        classes, outcomes, labels, splits, provisional, other, bits, pairs, has_given(config, given[rows])
    )
    _require_training_photos(selection)
    return selection


def _drop_duplicates(
    survey: Survey,
    outcomes: NDArray[np.int8],
    labels: NDArray[np.int32],
    other: NDArray[np.int64],
    given: NDArray[np.int8] | None,
) -> None:
    """Keep one of the photos with the same bytes, a given test photo first; keep none if their labels differ."""
    rows = np.flatnonzero(outcomes == Outcome.used)
    words = survey.sha256_array.view(np.uint64)[rows]
    last = np.zeros(len(rows), np.int8) if given is None else -np.where(given == FREE, TRAIN, given)[rows]
    order = rows[np.lexsort((last, *words.T))]
    words = survey.sha256_array.view(np.uint64)[order]
    is_first = np.ones(len(order), bool)
    is_first[1:] = (words[1:] != words[:-1]).any(axis=1)
    first = order[np.maximum.accumulate(np.where(is_first, np.arange(len(order)), 0))]
    repeats, first = order[~is_first], first[~is_first]
    other[repeats], outcomes[repeats] = first, Outcome.duplicate
    differs = labels[repeats] != labels[first]
    named = np.full(len(outcomes), NONE, np.int64)
    named[first[differs][::-1]] = repeats[differs][::-1]  # the first of several with another label
    torn = named[first] != NONE
    outcomes[repeats[torn]] = outcomes[first[torn]] = Outcome.quarantined
    other[first[torn]] = named[first[torn]]
    agrees = torn & ~differs
    other[repeats[agrees]] = named[first[agrees]]


def _split(
    survey: Survey,
    rows: NDArray[np.int64],
    labels: NDArray[np.int32],
    classes: list[str],
    config: SplitConfig,
    given: NDArray[np.int8],
) -> Splits:
    numbers, names = survey.codes("group")
    groups = [names[number] if number >= 0 else "" for number in numbers[rows]] if names else None
    sha256s = (survey.sha256_array[row].tobytes() for row in rows)
    return split_photos(sha256s, labels[rows], classes, config, groups, given[rows])


def _find_pairs(
    survey: Survey, rows: NDArray[np.int64], twin_bits: int | None
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]:
    """Find the pairs of used photos that look the same, as rows."""
    hashed = rows[survey.present("phash")[rows]] if twin_bits is not None else rows[:0]
    hashes = survey.column("phash").astype(np.uint64)[hashed]
    first, second, bits = near_pairs(hashes, twin_bits or 0)
    return hashed[first], hashed[second], bits


def _drop_twins(
    outcomes: NDArray[np.int8],
    splits: NDArray[np.int8],
    other: NDArray[np.int64],
    bits: NDArray[np.uint8],
    pairs: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]],
) -> None:
    """Leave out training and validation photos that look like a test photo; record the most similar one."""
    first, second, distance = pairs
    order = np.argsort(-distance.astype(int), kind="stable")
    for one, two in ((first, second), (second, first)):
        leaks = order[(splits[one[order]] == TEST) & (splits[two[order]] != TEST)]
        nearer = leaks[(other[two[leaks]] == NONE) | (distance[leaks] < bits[two[leaks]])]
        outcomes[two[nearer]] = Outcome.near_twin
        other[two[nearer]] = one[nearer]
        bits[two[nearer]] = distance[nearer]
    left_out, remaining = int((outcomes == Outcome.near_twin).sum()), int((outcomes == Outcome.used).sum())
    if left_out > MANY_TWINS * (left_out + remaining):
        log.warning(
            "ingest: %d photos look like test photos and are left out of training: ingest.twin_bits=null keeps them",
            left_out,
        )


def _require_training_photos(selection: Selection) -> None:
    """Refuse a class without training photos, and an empty split; warn about classes that a split lacks."""
    counts = np.zeros((len(SPLITS), len(selection.classes)), np.int64)
    used = selection.outcomes == Outcome.used
    np.add.at(counts, (selection.splits[used], selection.labels[used]), 1)
    for split, name in enumerate(SPLITS):
        lacking = [selection.classes[label] for label in np.flatnonzero(counts[split] == 0)]
        if lacking and (split == TRAIN or not counts[split].any()):
            raise UserError(
                f"The {name} split has no photo left of: {', '.join(lacking)}.",
                "Add photos, or keep training photos that look like a test photo: ingest.twin_bits=null",
            )
        if lacking and split in (VALIDATION, TEST):
            log.warning("ingest: the %s split has no photo of: %s", name, ", ".join(lacking))
