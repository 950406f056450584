"""Progress bars on the error stream; they are shown only if it is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

BYTES = "bytes"
"""The unit of a transfer: its bar shows kB, MB or GB."""


class Advance(Protocol):
    """A function that advances a progress bar by `count` units."""

    def __call__(self, count: int = 1) -> None: ...


@contextmanager
def progress(what: str, total: int | None, unit: str, *, done: int = 0) -> Iterator[Advance]:
    """Show a bar of `total` units (None: unknown) with rate and time left, and yield the function that advances it.

    `done` units were done before: the bar starts there, and they do not count in the rate.
    """
    if not sys.stderr.isatty():
        yield lambda count=1: None
        return
    # Imported here: most runs have no terminal or nothing to show, and Rich's bars take 40 ms to import.
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    text = TextColumn("{task.description}", markup=False)
    columns = (
        (text, BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
        if unit == BYTES
        else (text, BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
    )
    # `force_terminal`: a stage may lead the error stream into a file for a moment, and pass on what is written there.
    with Progress(*columns, console=Console(stderr=True, force_terminal=True), transient=True) as bar:
        task = bar.add_task(what, total=total, completed=done, rate="")

        def advance(count: int = 1) -> None:
            speed = bar.tasks[0].speed
            bar.update(task, advance=count, rate=f"{speed:,.0f} {unit}/s" if speed else "")

        yield advance
