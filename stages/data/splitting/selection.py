"""Selection: which of a source's photos are used, in which split, and why the others are not."""

from __future__ import annotations

import logging
from collections import Counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slimline.pipeline.errors import UserError
from slimline.stages.data.checking.near_duplicates import near_pairs
from slimline.stages.data.checking.survey import Survey
from slimline.stages.data.sources.split_names import split_named
from slimline.stages.data.splitting.classes import check_classes
from slimline.stages.data.splitting.config import SPLITS, SplitBy, SplitConfig
from slimline.stages.data.splitting.outcomes import NONE, Outcome, count_left_out
from slimline.stages.data.splitting.splits import FREE, TEST, TRAIN, VALIDATION, Splits, has_given, split_photos
from slimline.stages.images.faults import left_out_line

log = logging.getLogger(__name__)

MANY_TWINS = 0.1


class Selection(NamedTuple):
    """Result for each photo [photos]: outcome, label (an index into `classes`), split (an index into SPLITS, or -1).

    `other` is the row of the photo that it duplicates or looks like, or -1; `test_copies` are true for photos that the
    source puts into another split than a test photo with the same bytes. `pairs` are rows of photos that look the same:
    first, second, number of bits that differ. `given` is true if the source's own splits were used.
    """

    classes: list[str]
    outcomes: NDArray[np.int8]
    labels: NDArray[np.int32]
    splits: NDArray[np.int8]
    provisional: NDArray[np.bool_]
    other: NDArray[np.int64]
    test_copies: NDArray[np.bool_]
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


def select_photos(
    survey: Survey, config: SplitConfig, twin_bits: int | None, least: int, most_torn: float = 1.0
) -> Selection:
    """Leave out unusable and duplicate photos, split the rest, and leave out near-duplicates of test photos.

    `twin_bits` is the number of bits in which the perceptual hashes of photos that look the same may differ; None
    compares no photos. `most_torn` is the largest share of photos that may have the same bytes and different labels.

    Raises:
        UserError: one class or none, two class names that look the same, a class with fewer than `least` photos, or too
            many photos with two labels.
    """
    labels, classes = survey.codes("label")
    outcomes = np.where(survey.present("reason"), Outcome.quarantined, Outcome.used).astype(np.int8)
    outcomes[labels < 0] = Outcome.quarantined
    skipped = survey.column("skipped", False).astype(bool)
    outcomes[skipped] = Outcome.skipped
    other = np.full(survey.count, NONE, np.int64)
    stated, split_values = survey.codes("stated_split")
    given = np.array([*(SPLITS.index(split_named(value)) for value in split_values), FREE], np.int8)[stated]
    is_given = has_given(config, given)
    _drop_duplicates(survey, outcomes, labels, other, given if is_given else None)
    copies = (outcomes == Outcome.duplicate) & (given[other] == TEST) & (given != TEST) & is_given
    rows = np.flatnonzero(outcomes == Outcome.used)
    kept = np.unique(labels[~skipped & (labels >= 0)])  # a class that lost all of its photos is an error
    renumbered = np.full(len(classes) + 1, -1, np.int32)
    renumbered[kept] = np.arange(len(kept))
    labels, classes = renumbered[labels], [classes[number] for number in kept]
    counts = np.bincount(labels[rows], minlength=len(classes))
    _refuse_two_labels(survey, outcomes, labels, other, classes, most_torn, least)
    try:
        where = "Without the photos that are left out, the source"
        check_classes(Counter(dict(zip(classes, counts.tolist(), strict=True))), least, where)
    except UserError as error:
        line = left_out_line(count_left_out(survey, outcomes, other, copies), survey.count)
        raise UserError(*str(error).split("\n"), *([f"{line[0].upper()}{line[1:]}."] if line else [])) from error
    _warn_of_test_copies(survey, copies, other)
    split = _split(survey, rows, labels, classes, config, given)
    splits, provisional = np.full(survey.count, -1, np.int8), np.zeros(survey.count, bool)
    splits[rows], provisional[rows] = split
    bits = np.zeros(survey.count, np.uint8)
    pairs = _find_pairs(survey, rows, twin_bits)
    _drop_twins(outcomes, splits, other, bits, pairs)
    selection = Selection(
        classes, outcomes, labels, splits, provisional, other, copies, bits, pairs, has_given(config, given[rows])
    )
    _require_training_photos(selection, config)
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


def _refuse_two_labels(
    survey: Survey,
    outcomes: NDArray[np.int8],
    labels: NDArray[np.int32],
    other: NDArray[np.int64],
    classes: list[str],
    most: float,
    least: int,
) -> None:
    """Refuse photos with the same bytes and different labels, if they are too many or a class needs them."""
    torn = np.flatnonzero((outcomes == Outcome.quarantined) & (other != NONE))
    used = np.bincount(labels[outcomes == Outcome.used], minlength=len(classes))
    needed = ((used < least) & (used + np.bincount(labels[torn], minlength=len(classes)) >= least)).any()
    if not len(torn) or not (needed or len(torn) > most * (outcomes != Outcome.skipped).sum()):
        return
    pairs = Counter(
        tuple(sorted(pair)) for pair in zip(labels[torn].tolist(), labels[other[torn]].tolist(), strict=True)
    )
    first, second = pairs.most_common(1)[0][0]
    shown = next(row for row in torn if {int(labels[row]), int(labels[other[row]])} == {first, second})
    count = len(np.unique(survey.sha256_array[torn], axis=0))
    names = f"{classes[first]} and {classes[second]}"
    photos = "photo is" if count == 1 else f"{count:,} photos are"
    raise UserError(
        f"The same {photos} labeled {names if len(pairs) == 1 else f'twice, many of them {names}'}:"
        f" {survey.path(int(shown))} and {survey.path(int(other[shown]))} are duplicates, for example.",
        "Remove the copies that are in the wrong class, or put both classes into one.",
        *([] if needed else [f"Or leave all of them out: ingest.max_bad_fraction={_share(len(torn), survey.count)}"]),
    )


def _share(part: int, whole: int) -> str:
    return f"{-(-100 * part // whole) / 100:g}"


def _warn_of_test_copies(survey: Survey, copies: NDArray[np.bool_], other: NDArray[np.int64]) -> None:
    rows = np.flatnonzero(copies)
    if len(rows):
        log.warning(
            "ingest: %s duplicates of test photos are left out: %s has the same bytes as %s, for example",
            f"{len(rows):,}",
            survey.path(int(rows[0])),
            survey.path(int(other[rows[0]])),
        )


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


def _require_training_photos(selection: Selection, config: SplitConfig) -> None:
    """Refuse a class without training photos, and an empty split; warn about classes that a split lacks."""
    counts = np.zeros((len(SPLITS), len(selection.classes)), np.int64)
    used = selection.outcomes == Outcome.used
    np.add.at(counts, (selection.splits[used], selection.labels[used]), 1)
    by_folds = config.by is SplitBy.folds
    if by_folds and not counts[TEST].any():
        raise UserError(
            f"Of {used.sum():,} photos, fold {config.fold} of ingest.split.folds={config.folds} has none.",
            "Use fewer folds.",
        )
    for split, name in enumerate(SPLITS):
        if split == TEST and not config.test and not by_folds:
            continue
        lacking = [selection.classes[label] for label in np.flatnonzero(counts[split] == 0)]
        if lacking and (split == TRAIN or not counts[split].any()):
            raise UserError(
                f"The {name} split has no photo left of: {', '.join(lacking)}.",
                "Add photos, or keep training photos that look like a test photo: ingest.twin_bits=null",
            )
        if lacking and split in (VALIDATION, TEST):
            log.warning("ingest: the %s split has no photo of: %s", name, ", ".join(lacking))
