"""Layout of folders: how their names state classes and, in a source that is split already, splits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from slimline.stages.data.sources.photo import EXTENSIONS, ClassFolder, Photo
from slimline.stages.data.sources.split_names import are_numbers, are_years, splits_of_folders
from slimline.stages.images.faults import Fault

SYSTEM_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"})
SYSTEM_FOLDERS = frozenset({"__macosx", "@eadir", "$recycle.bin"})
MOST_LEVELS = 8
"""Folders on deeper levels don't change the layout."""


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

    `top` are the folders that hold everything else, if there are any (in archives). `outer_splits` are the splits that
    the folders below are named after, by name, if these hold the class folders, as in `train/daisy/1.jpg`;
    `inner_splits` those of the folders inside the class folders, as in `daisy/train/1.jpg`. `inner_classes` is true if
    the folders inside the outermost ones are the classes, as in `2024/daisy/1.jpg`. `shared` are outer and inner
    folders if all outer ones hold the same inner ones, and neither are splits: then either could be the classes.
    """

    top: tuple[str, ...] = ()
    outer_splits: Mapping[str, str] = field(default_factory=dict)
    inner_splits: Mapping[str, str] = field(default_factory=dict)
    inner_classes: bool = False
    shared: tuple[list[str], list[str]] | None = None

    @classmethod
    def of(cls, paths: Iterable[Sequence[str]], strip: bool = False, classes: ClassFolder = ClassFolder.auto) -> Layout:
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
        return _layout(top, folders, classes)

    def photo(self, place: Photo, parts: Sequence[str]) -> Photo:
        """Return `place` with the label and split of its path inside the tree, or with why it is not a photo."""
        inside = tuple(parts)
        if self.top:
            inside = inside[len(self.top) :] if inside[: len(self.top)] == self.top else inside[-1:]
        label, split = self._class_and_split(inside[:-1])
        photo = place._replace(label=label, split=split)
        if not is_photo_name(parts[-1]):
            problem = not_named_as_a_photo(parts[-1])
            return photo._replace(skipped=True, problem=problem, fault=Fault.not_an_image)
        if not label:
            return photo._replace(skipped=True, problem="not in a class folder", fault=Fault.no_class_folder)
        return photo

    def _class_and_split(self, folders: Sequence[str]) -> tuple[str, str]:
        outer, inner = (*folders[:2], "", "")[:2]
        if self.outer_splits:
            split = self.outer_splits.get(outer, "")
            return (inner, split) if split else ("", "")
        if self.inner_classes:
            return inner, ""
        return outer, self.inner_splits.get(inner, "")


def _layout(top: tuple[str, ...], folders: set[tuple[str, ...]], classes: ClassFolder) -> Layout:
    inside: dict[str, set[str]] = {}
    for folder in folders:
        inside.setdefault(folder[0], set()).update(folder[1:2])
    if classes is not ClassFolder.outer and (splits := _outer_splits(inside)):
        return Layout(top, outer_splits=splits)
    if not folders or any(len(folder) < 2 for folder in folders):
        return Layout(top, inner_classes=classes is ClassFolder.inner)
    names = {name for held in inside.values() for name in held}
    splits = splits_of_folders(names)
    if classes is not ClassFolder.inner and 1 < len(splits) == len(names):
        return Layout(top, inner_splits=splits)
    by_year = are_years(inside) and len(names) > 1 and not are_numbers(names)
    is_inner = classes is ClassFolder.inner or (classes is ClassFolder.auto and by_year)
    return Layout(top, inner_classes=is_inner, shared=_shared(inside))


def _outer_splits(inside: Mapping[str, set[str]]) -> dict[str, str]:
    """Return the splits that outer folders are named after, rather than classes that happen to have such names.

    There must be a training folder that holds folders. Besides, either all others are named after splits too, or
    another split's folder holds a folder of the same name: a class.
    """
    splits = splits_of_folders(inside)
    held: dict[str, set[str]] = {}
    for folder, split in splits.items():
        held.setdefault(split, set()).update(inside[folder])
    training = held.get("train", set())
    held_out = held.get("validation", set()) | held.get("test", set())
    is_split = bool(training) and ((len(inside) > 1 and len(splits) == len(inside)) or bool(training & held_out))
    return splits if is_split else {}


def _shared(inside: Mapping[str, set[str]]) -> tuple[list[str], list[str]] | None:
    """Return outer and inner folders if several outer folders all hold the same two or more folders, else None.

    Numbers and dates inside other folders are not taken for classes.
    """
    common = set.intersection(*inside.values())
    is_shared = len(inside) > 1 and len(common) > 1 and not are_numbers(common)
    return (sorted(inside), sorted(common)) if is_shared else None


def _is_top(folders: set[tuple[str, ...]]) -> bool:
    """Return whether one folder holds all others, and isn't itself the only class."""
    if len({folder[0] for folder in folders}) != 1 or any(len(folder) < 2 for folder in folders):
        return False
    return len({folder[1] for folder in folders}) > 1 or any(len(folder) > 2 for folder in folders)
