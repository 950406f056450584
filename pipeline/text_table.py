"""Text tables for the terminal and for logs."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from io import StringIO

WHOLE = 100_000
"""A width in characters that no table reaches."""


def text_table(
    titles: Sequence[str], rows: Iterable[Sequence[str]], *, texts: Container[int], width: int | None = None
) -> str:
    """Format rows under `titles` (empty: no header line), with two spaces between the columns.

    The columns in `texts` are left-aligned; the others hold numbers and are right-aligned. A table is as wide as
    necessary on any terminal and in any file: nothing is cut, and no colors are used. With a `width` in characters,
    cells are broken at spaces to fit into it.
    """
    from rich.console import Console  # imported here: most commands show no table, and the import takes 15 ms
    from rich.table import Table
    from rich.text import Text

    lines = [[Text(cell) for cell in row] for row in rows]  # as Text: a plain string could contain Rich's markup
    table = Table(box=None, show_header=bool(titles), pad_edge=False, padding=(0, 2, 0, 0), header_style="")
    for number in range(len(titles) or len(lines[0])):
        title = Text(titles[number]) if titles else ""
        table.add_column(title, justify="left" if number in texts else "right", overflow="fold")
    for line in lines:
        table.add_row(*line)
    written = StringIO()
    Console(file=written, width=width or WHOLE, color_system=None).print(table)
    return "\n".join(line.rstrip() for line in written.getvalue().splitlines())


def cut(text: str, length: int) -> str:
    """Cut a text to at most `length` characters; an ellipsis shows that something is missing."""
    return text if len(text) <= length else f"{text[: max(length - 1, 0)]}…"
