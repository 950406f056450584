"""Tables of texts, as the macro `table` takes them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple


class Table(NamedTuple):
    """The columns' names, the rows, and the numbers of the columns that hold text; the others hold numbers."""

    names: Sequence[str]
    rows: Sequence[Sequence[str]]
    texts: Collection[int] = (0,)
