"""A progress bar on the terminal's error stream, silent when that isn't a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Advance(Protocol):
    """Call with how many more are done."""

    def __call__(self, count: int = 1) -> None: ...


@contextmanager
def progress(what: str, total: int | None, unit: str) -> Iterator[Advance]:
    """Show a bar of `total` units (None: unknown), with rate and time left, and hand out what advances it."""
    if not sys.stderr.isatty():
        yield lambda count=1: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total, rate="")

        def advance(count: int = 1) -> None:
            speed = bar.tasks[0].speed
            bar.update(task, advance=count, rate=f"{speed:,.0f} {unit}/s" if speed else "")

        yield advance
