"""What folders and files are named for: a class, and in a source that is split already, a split."""

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
"""Folders further down tell nothing of the layout."""


def split_named(name: str) -> str:
    """Return the split that a name stands for, or an empty string."""
    return SPLIT_NAMES.get(name.lower(), "")


def splits_of_files(names: Sequence[str]) -> list[str]:
    """Return the split that each file of a source is named after, as `data/flowers_train-00000-of-00005.parquet` is.

    A file's own name goes before its folders', and the last such word before the first. Where no file is named after
    the training split, or there is but one file, the names state nothing.
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
    """Say whether a path leads to what an operating system leaves behind."""
    return parts[-1].lower() in SYSTEM_FILES or any(part.lower() in SYSTEM_FOLDERS for part in parts)


def is_wanted(parts: Sequence[str]) -> bool:
    """Say whether a path inside an archive may be a photo's, as nothing hides it."""
    return bool(parts) and not is_hidden(parts) and not is_systems_own(parts)


def is_hidden(parts: Sequence[str]) -> bool:
    """Say whether a leading dot hides a path."""
    return any(part.startswith(".") and part != ".." for part in parts)


def is_photo_name(name: str) -> bool:
    """Say whether a file's extension is a photo's."""
    return PurePosixPath(name).suffix.lower() in EXTENSIONS


@dataclass(frozen=True)
class Layout:
    """How a tree is laid out, learnt from its files' paths.

    `top` are the folders that hold everything, if there are any (in archives); `split` is true where the folders below
    are the splits', and these hold the classes', as in `train/daisy/1.jpg`.
    """

    top: tuple[str, ...] = ()
    split: bool = False

    @classmethod
    def of(cls, paths: Iterable[Sequence[str]], strip: bool = False) -> Layout:
        """Learn the layout from the parts of files' paths, of photos if any are named so.

        With `strip`, leave out folders that hold them all.
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
        """Return the photo at `place`, and at a path inside the tree, with its label and split, or why it is none."""
        inside = tuple(parts)
        if self.top:
            inside = inside[len(self.top) :] if inside[: len(self.top)] == self.top else inside[-1:]
        split = split_named(inside[0]) if self.split and len(inside) > 1 else ""
        label = inside[1 if split else 0] if len(inside) > (2 if split else 1) else ""
        if self.split and not split:
            label = ""
        photo = place._replace(label=label, split=split)
        if not is_photo_name(parts[-1]):
            extension = PurePosixPath(parts[-1]).suffix or "no extension"
            return photo._replace(skipped=True, problem=f"not named as a photo: {extension}")
        return photo if label else photo._replace(skipped=True, problem="lies in no class's folder")


def _is_split(folders: set[tuple[str, ...]]) -> bool:
    """Say whether folders are those of splits: by their names, unless classes are merely named so.

    There is one for training that holds folders. Either all others are named after splits too, or another holds a
    folder of the same name: a class.
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
    """Say whether one folder holds all others, and isn't itself the only class."""
    if len({folder[0] for folder in folders}) != 1 or any(len(folder) < 2 for folder in folders):
        return False
    return len({folder[1] for folder in folders}) > 1 or any(len(folder) > 2 for folder in folders)
