"""What folders say: a class's name, and in a tree that is split already, the split."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from stages.data.sources.photo import EXTENSIONS, Photo

SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "eval"), "test"),
}
SYSTEM_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"})
SYSTEM_FOLDERS = frozenset({"__macosx", "@eadir", "$recycle.bin"})


def split_named(name: str) -> str:
    """Return the split that a name stands for, or an empty string."""
    return SPLIT_NAMES.get(name.lower(), "")


def is_systems_own(parts: Sequence[str]) -> bool:
    """Say whether a path leads to what an operating system leaves behind."""
    return parts[-1].lower() in SYSTEM_FILES or any(part.lower() in SYSTEM_FOLDERS for part in parts)


def is_photo_name(name: str) -> bool:
    """Say whether a file's extension is a photo's."""
    return PurePosixPath(name).suffix.lower() in EXTENSIONS


@dataclass
class Layout:
    """How a tree is laid out, learnt from its photos' paths.

    `top` is the folder that holds everything, if there is one (in archives); `split` is true where each folder below
    it is named after a split and holds the classes' folders, as in `train/daisy/1.jpg`.
    """

    top: tuple[str, ...] = ()
    split: bool = False
    _firsts: dict[str, bool] = field(default_factory=dict)

    @classmethod
    def of(cls, paths: Iterable[Sequence[str]], strip: bool = False) -> Layout:
        """Learn the layout from the parts of photos' paths; with `strip`, leave out a folder that holds them all."""
        below: dict[str, set[str]] = {}
        deeper = False
        for parts in paths:
            if len(parts) > 1:
                below.setdefault(parts[0], set()).add(parts[1] if len(parts) > 2 else "")
                deeper = deeper or len(parts) > 3
        top: tuple[str, ...] = ()
        if strip and len(below) == 1:
            [(name, inside)] = below.items()
            if "" not in inside and (len(inside) > 1 or deeper):
                top, below = (name,), {child: {"?"} for child in inside}
        split = len(below) > 1 and all(split_named(name) for name in below)
        split = split and any(split_named(name) == "train" for name in below)
        if top:
            return cls(top, split and deeper)
        return cls(top, split and all(any(inside) for inside in below.values()))

    def photo(self, place: Photo, parts: Sequence[str]) -> Photo:
        """Return the photo at `place`, and at a path inside the tree, with its label and split, or why it is none."""
        inside = tuple(parts)[len(self.top) :]
        split = split_named(inside[0]) if self.split else ""
        label = inside[1 if split else 0] if len(inside) > (2 if split else 1) else ""
        photo = place._replace(label=label, split=split)
        if not is_photo_name(parts[-1]):
            extension = PurePosixPath(parts[-1]).suffix or "no extension"
            return photo._replace(skipped=True, problem=f"not named as a photo: {extension}")
        return photo if label else photo._replace(skipped=True, problem="lies in no class's folder")
