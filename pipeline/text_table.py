"""Tables of text, for the terminal and for logs alike."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from io import StringIO

WHOLE = 100_000
"""A width in characters that no table comes near."""


def text_table(
    titles: Sequence[str], rows: Iterable[Sequence[str]], *, texts: Container[int], width: int | None = None
) -> str:
    """Lay rows out under `titles` (none: no line of titles), two spaces between the columns.

    The columns of `texts` are flush left, the others, numbers, flush right. A table is as wide as it must be, on
    whatever terminal or file it is shown, with nothing cut and no colors; with a `width`, in characters, cells are
    broken at spaces to keep within it.
    """
    from rich.console import Console  # here: most commands show no table, and this takes 15 ms
    from rich.table import Table
    from rich.text import Text

    lines = [[Text(cell) for cell in row] for row in rows]  # as it is: a string may hold Rich's own markup
    table = Table(box=None, show_header=bool(titles), pad_edge=False, padding=(0, 2, 0, 0), header_style="")
    for number in range(len(titles) or len(lines[0])):
        title = Text(titles[number]) if titles else ""
        table.add_column(title, justify="left" if number in texts else "right", overflow="fold")
    for line in lines:
        table.add_row(*line)
    written = StringIO()
    Console(file=written, width=width or WHOLE, color_system=None).print(table)
    return "\n".join(line.rstrip() for line in written.getvalue().splitlines())
