"""Tables of strings, as the macro `table` takes them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple


class Table(NamedTuple):
    """The names of the columns, the rows, and the indices of the columns with text; the others contain numbers."""

    names: Sequence[str]
    rows: Sequence[Sequence[str]]
    texts: Collection[int] = (0,)


BAR_CHARACTERS = 24


def bar(value: float, most: float) -> str:
    """Return a bar of characters whose length is proportional to a value; the longest is that of `most`."""
    return "█" * round(BAR_CHARACTERS * value / most if most else 0) or "▏"
