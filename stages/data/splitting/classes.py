"""Checks of the classes: there are enough, each has enough photos, and their names can be told apart."""

from __future__ import annotations

import logging
import unicodedata
from collections import Counter
from collections.abc import Sequence

from slimline.pipeline.errors import UserError

log = logging.getLogger(__name__)

MOST_SHOWN = 10


def check_classes(counts: Counter[str], least: int, where: str) -> None:
    """Refuse classes that a classifier can't be trained on.

    Raises:
        UserError: there are no photos, only one class, a class with fewer than `least` photos, or names that collide.
    """
    if not counts.total():
        raise UserError(
            f"{where} holds no photos.",
            "It must hold one folder per class, with photos in it (.jpg, .png, .gif, .bmp, .webp, .heic).",
        )
    if len(counts) == 1:
        raise UserError(
            f"{where} holds one class only, {next(iter(counts))!r}.",
            "Add photos of another class: a classifier needs at least two.",
        )
    check_names(sorted(counts))
    small = sorted(f"{name} ({count})" for name, count in counts.items() if count < least)
    if small:
        more = f" and {len(small) - MOST_SHOWN:,} more classes" if len(small) > MOST_SHOWN else ""
        raise UserError(
            f"{where} has too few photos of: {', '.join(small[:MOST_SHOWN])}{more}.",
            f"Each class needs at least {least}, one per split. Add photos, or remove the class's folder.",
        )


def check_names(classes: Sequence[str]) -> None:
    """Refuse class names that look the same or don't fit on one line."""
    seen: dict[str, str] = {}
    for name in classes:
        if name.splitlines() != [name] or not name.strip():
            raise UserError(f"The class name {name!r} can't be written on one line.", "Rename the class.")
        plain = unicodedata.normalize("NFC", " ".join(name.split()))
        if plain in seen:
            raise UserError(
                f"The classes {seen[plain]!r} and {name!r} look the same: they differ in spaces or in their encoding.",
                "Merge the two classes, or rename one of them.",
            )
        seen[plain] = name


def warn_of_names(classes: Sequence[str]) -> None:
    """Warn about class names that differ only in case, and about one that stands for no label."""
    cases: dict[str, str] = {}
    for name in classes:
        if name.casefold() in cases:
            log.warning("ingest: the classes %r and %r differ only in case", cases[name.casefold()], name)
        cases[name.casefold()] = name
    if "-1" in classes:
        log.warning("ingest: a class is named -1, which the Hugging Face hub writes for 'no label'")
