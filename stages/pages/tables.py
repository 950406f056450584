"""Tables of strings, as the macro `table` takes them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple


class Table(NamedTuple):
    """The names of the columns, the rows, and the indices of the columns with text; the others contain numbers."""

    names: Sequence[str]
    rows: Sequence[Sequence[str]]
    texts: Collection[int] = (0,)
