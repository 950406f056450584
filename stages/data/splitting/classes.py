"""The classes' names: enough of them, enough photos of each, and none that can be taken for another."""

from __future__ import annotations

import logging
import unicodedata
from collections import Counter
from collections.abc import Sequence

from slimline.pipeline.errors import UserError

log = logging.getLogger(__name__)

MOST_SHOWN = 10


def check_classes(counts: Counter[str], least: int, where: str) -> None:
    """Refuse what can't be trained on.

    Raises:
        UserError: there are no photos, only one class, a class with fewer than `least` photos, or names that collide.
    """
    if not counts.total():
        raise UserError(
            f"{where} holds no photos.",
            "It should hold a folder for each class, with photos in it (.jpg, .png, .gif, .bmp, .webp).",
        )
    if len(counts) == 1:
        raise UserError(
            f"{where} holds one class only, {next(iter(counts))!r}.",
            "A classifier needs at least two: one folder for each.",
        )
    check_names(sorted(counts))
    small = sorted(f"{name} ({count})" for name, count in counts.items() if count < least)
    if small:
        more = f" and {len(small) - MOST_SHOWN:,} classes more" if len(small) > MOST_SHOWN else ""
        raise UserError(
            f"{where} has too few photos of: {', '.join(small[:MOST_SHOWN])}{more}.",
            f"Each class needs at least {least}, one for each split. Add photos, or move that class's folder away.",
        )


def check_names(classes: Sequence[str]) -> None:
    """Refuse class names that can't be told apart or written on a line; name those that differ in case alone."""
    seen: dict[str, str] = {}
    for name in classes:
        if name.splitlines() != [name] or not name.strip():
            raise UserError(f"The class {name!r} can't be written on one line.", "Rename it.")
        plain = unicodedata.normalize("NFC", " ".join(name.split()))
        if plain in seen:
            raise UserError(
                f"The classes {seen[plain]!r} and {name!r} look the same: they differ in spaces or in their encoding.",
                "Give them one name, or two that differ.",
            )
        seen[plain] = name
    cases: dict[str, str] = {}
    for name in classes:
        if name.casefold() in cases:
            log.warning("ingest: the classes %r and %r differ in case alone", cases[name.casefold()], name)
        cases[name.casefold()] = name
