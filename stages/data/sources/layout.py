"""Layout of folders and files: how their names state classes and, in a source that is split already, splits."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from slimline.stages.data.sources.photo import EXTENSIONS, Photo

SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "eval"), "test"),
}
SYSTEM_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"})
SYSTEM_FOLDERS = frozenset({"__macosx", "@eadir", "$recycle.bin"})
MOST_LEVELS = 8
"""Folders on deeper levels don't change the layout."""


def split_named(name: str) -> str:
    """Return the split that a name means, or an empty string."""
    return SPLIT_NAMES.get(name.lower(), "")


def splits_of_files(names: Sequence[str]) -> list[str]:
    """Return the split that each file of a source is named after, as in `data/flowers_train-00000-of-00005.parquet`.

    A file's own name takes precedence over its folders' names, and the last such word over the first. If no file is
    named after the training split, or there is only one file, the names state no splits.
    """
    splits = [_split_in(name) for name in names]
    return splits if len(names) > 1 and "train" in splits else [""] * len(names)


def _split_in(name: str) -> str:
    for part in reversed(name.lower().split("/")):
        for word in reversed(re.split(r"[^a-z]+", part)):
            if split := split_named(word):
                return split
    return ""


def is_systems_own(parts: Sequence[str]) -> bool:
    """Return whether a path belongs to a file that an operating system creates for itself."""
    return parts[-1].lower() in SYSTEM_FILES or any(part.lower() in SYSTEM_FOLDERS for part in parts)


def is_wanted(parts: Sequence[str]) -> bool:
    """Return whether a path inside an archive may be a photo's: it is not hidden, and not a system's file."""
    return bool(parts) and not is_hidden(parts) and not is_systems_own(parts)


def is_hidden(parts: Sequence[str]) -> bool:
    """Return whether a leading dot hides a path."""
    return any(part.startswith(".") and part != ".." for part in parts)


def is_photo_name(name: str) -> bool:
    """Return whether a file's extension is that of a photo."""
    return PurePosixPath(name).suffix.lower() in EXTENSIONS


def not_named_as_a_photo(name: str) -> str:
    """Return the reason why a file with another extension is left out."""
    return f"not named as a photo: {PurePosixPath(name).suffix or 'no extension'}"


@dataclass(frozen=True)
class Layout:
    """Layout of a folder tree, found from its files' paths.

    `top` are the folders that hold everything else, if there are any (in archives). `split` is true if the folders
    below are those of splits, which hold the class folders, as in `train/daisy/1.jpg`.
    """

    top: tuple[str, ...] = ()
    split: bool = False

    @classmethod
    def of(cls, paths: Iterable[Sequence[str]], strip: bool = False) -> Layout:
        """Find the layout from the parts of files' paths; if some files are named as photos, only from these.

        With `strip`, leave out top folders that hold all others.
        """
        levels = MOST_LEVELS if strip else 2
        named: set[tuple[str, ...]] = set()
        others: set[tuple[str, ...]] = set()
        for parts in paths:
            if len(parts) > 1:
                (named if is_photo_name(parts[-1]) else others).add(tuple(parts[:-1][:levels]))
        folders = named or others
        top: tuple[str, ...] = ()
        while strip and _is_top(folders):
            top += (next(iter(folders))[0],)
            folders = {folder[1:] for folder in folders}
        return cls(top, _is_split(folders))

    def photo(self, place: Photo, parts: Sequence[str]) -> Photo:
        """Return `place` with the label and split of its path inside the tree, or with why it is not a photo."""
        inside = tuple(parts)
        if self.top:
            inside = inside[len(self.top) :] if inside[: len(self.top)] == self.top else inside[-1:]
        split = split_named(inside[0]) if self.split and len(inside) > 1 else ""
        label = inside[1 if split else 0] if len(inside) > (2 if split else 1) else ""
        if self.split and not split:
            label = ""
        photo = place._replace(label=label, split=split)
        if not is_photo_name(parts[-1]):
            return photo._replace(skipped=True, problem=not_named_as_a_photo(parts[-1]))
        return photo if label else photo._replace(skipped=True, problem="not in a class folder")


def _is_split(folders: set[tuple[str, ...]]) -> bool:
    """Return whether folders are those of splits, rather than classes that happen to have such names.

    There must be a training folder that holds folders. Besides, either all others are named after splits too, or
    another split's folder holds a folder of the same name: a class.
    """
    firsts = {folder[0] for folder in folders}
    inside: dict[str, set[str]] = {}
    for folder in folders:
        if len(folder) > 1:
            inside.setdefault(split_named(folder[0]), set()).add(folder[1])
    training = inside.get("train", set())
    held_out = inside.get("validation", set()) | inside.get("test", set())
    return bool(training) and ((len(firsts) > 1 and all(map(split_named, firsts))) or bool(training & held_out))


def _is_top(folders: set[tuple[str, ...]]) -> bool:
    """Return whether one folder holds all others, and isn't itself the only class."""
    if len({folder[0] for folder in folders}) != 1 or any(len(folder) < 2 for folder in folders):
        return False
    return len({folder[1] for folder in folders}) > 1 or any(len(folder) > 2 for folder in folders)
