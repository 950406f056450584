"""Names that mean a split, of cells, files and folders: `train`, `training_set`, `02_validation-data`, `TestImages`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "eval"), "test"),
}
WORDS = {
    **SPLIT_NAMES,
    **dict.fromkeys(("trainset", "trainingset"), "train"),
    **dict.fromkeys(("validationset", "validset", "valset", "devset"), "validation"),
    **dict.fromkeys(("testset", "testingset", "evalset", "evaluation", "holdout", "heldout"), "test"),
}
"""Words that mean a split in the names of files and folders."""

NEUTRAL = re.compile(
    "data|dataset|dir|directory|examples?|files?|folder|images?|imgs?|part|photos?|pics?|pictures?|samples?|sets?|splits?"
    "|subset"
)
"""Words in the name of a split's folder that mean nothing by themselves."""

WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[^\W\d_]+")
HELD_OUT = re.compile(r"h(old|eld)[ _-]out", re.IGNORECASE)
YEAR = re.compile(r"(19|20)\d\d([-_. ]?(0\d|1[0-2])([-_. ]?([0-2]\d|3[01]))?)?")


def split_named(name: str) -> str:
    """Return the split that a name means as a whole, such as a cell of a manifest, or an empty string."""
    return SPLIT_NAMES.get(name.lower(), "")


def splits_of_files(names: Sequence[str]) -> list[str]:
    """Return the split that each file of a source is named after, as in `data/flowers_train-00000-of-00005.parquet`.

    A file's own name takes precedence over its folders' names, and the last such word over the first. If no file is
    named after the training split, or there is only one file, the names state no splits.
    """
    splits = [_split_of_path(name) for name in names]
    return splits if len(names) > 1 and "train" in splits else [""] * len(names)


def _split_of_path(path: str) -> str:
    return next((split for part in reversed(path.split("/")) if (split := split_in(part))), "")


def split_in(name: str) -> str:
    """Return the split that the last such word of a name means, or an empty string."""
    return next((split for word in reversed(_words(name)) if (split := WORDS.get(word))), "")


def splits_of_folders(names: Iterable[str]) -> dict[str, str]:
    """Return the splits that folders are named after, by name, those for training among them; empty if there are none.

    Numbers and neutral words in their names do not count, and whatever else is in them must be the same in all. So
    `training_set` and `test_set`, or `cats_train` and `cats_test`, go together; `train_station` and `test_tube` do not.
    """
    groups = _by_other_words(names)
    return next((group for _, group in sorted(groups.items()) if "train" in group.values()), {})


def are_all_splits(names: Iterable[str]) -> bool:
    """Return whether folders are all named after splits, and each goes together with another split's folder."""
    all_names = list(names)
    groups = _by_other_words(all_names).values()
    return sum(map(len, groups)) == len(all_names) > 1 and all(len(set(group.values())) > 1 for group in groups)


def _by_other_words(names: Iterable[str]) -> dict[tuple[str, ...], dict[str, str]]:
    """Return the splits that folders are named after, by name, by the other words in the names; none come first."""
    groups: dict[tuple[str, ...], dict[str, str]] = {}
    for name in names:
        if split := split_in(name):
            others = tuple(word for word in _words(name) if word not in WORDS and not NEUTRAL.fullmatch(word))
            groups.setdefault(others, {})[name] = split
    return groups


def _words(name: str) -> list[str]:
    return [word.lower() for word in WORD.findall(HELD_OUT.sub("holdout", name))]


def are_numbers(names: Iterable[str]) -> bool:
    """Return whether all names are numbers or dates, without letters."""
    return all(re.fullmatch(r"[\d\W_]+", name) for name in names)


def are_years(names: Iterable[str]) -> bool:
    """Return whether all names are years, months or days, such as 2024 or 2024-05."""
    return all(YEAR.fullmatch(name) for name in names)
