"""Where labelled photos come from: each source lists its photos, and reads one by its path."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from pipeline.content import files_below
from pipeline.errors import UserError

EXTENSIONS = (".jpg", ".jpeg", ".jpe", ".png", ".gif", ".bmp", ".webp")


class LabelledPhoto(NamedTuple):
    """A photo by its path inside the source, and the class it is said to show."""

    path: str
    label: str


class Source(NamedTuple):
    """Labelled photos in a stable order, and how to read one's encoded bytes."""

    photos: list[LabelledPhoto]
    read: Callable[[str], bytes]


def folder_source(folder: Path) -> Source:
    """List a folder of class folders: each photo below `folder/<class>/` shows that class."""
    photos = []
    for path in files_below(folder):
        inside = path.relative_to(folder)
        if len(inside.parts) > 1 and path.suffix.lower() in EXTENSIONS:
            photos.append(LabelledPhoto(os.fspath(inside), inside.parts[0]))
    return Source(photos, lambda path: (folder / path).read_bytes())


def garden_source(per_class: int, seed: int) -> Source:
    """Draw the embedded garden's flowers, in memory (about 20 KB each)."""
    from stages.data.garden import SPECIES, draw_flower

    photos = [LabelledPhoto(f"{name}/{number:04d}.jpg", name) for name in SPECIES for number in range(per_class)]
    with ThreadPoolExecutor() as executor:
        drawn = executor.map(lambda photo: draw_flower(photo.label, int(Path(photo.path).stem), seed), photos)
        encoded = dict(zip((photo.path for photo in photos), drawn, strict=True))
    return Source(photos, encoded.__getitem__)


def check_classes(photos: Iterable[LabelledPhoto], least: int, where: str) -> list[str]:
    """Return the class names in order.

    Raises:
        UserError: there are no photos, only one class, or a class with fewer than `least` photos.
    """
    counts = Counter(photo.label for photo in photos)
    if not counts:
        raise UserError(
            f"{where} holds no photos.",
            f"It should hold a folder for each class, with photos in it ({', '.join(EXTENSIONS)}).",
        )
    if len(counts) == 1:
        raise UserError(
            f"{where} holds one class only, {next(iter(counts))!r}.",
            "A classifier needs at least two: one folder for each.",
        )
    small = sorted(f"{name} ({count})" for name, count in counts.items() if count < least)
    if small:
        raise UserError(
            f"{where} has too few photos of: {', '.join(small)}.",
            f"Each class needs at least {least}, one for each split. Add photos, or move that class's folder away.",
        )
    return sorted(counts)
