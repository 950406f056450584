"""Progress bars: nothing without a terminal, and their content on a terminal."""

from __future__ import annotations

import io
import re

import pytest

from slimline.pipeline.progress import BYTES, progress


class Terminal(io.StringIO):
    """An error stream that is a terminal; tests set it themselves, because pytest replaces it before a test begins."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    for name, value in {"TERM": "xterm", "NO_COLOR": "1", "COLUMNS": "100"}.items():
        monkeypatch.setenv(name, value)
    return Terminal()


def last_frame(terminal: Terminal) -> str:
    """Return the last content of the bar before the line was cleared."""
    pieces = re.split(r"\r|\n|\x1b\[[0-9;?]*[A-Za-z]", terminal.getvalue())
    return [piece.strip() for piece in pieces if piece.strip()][-1]


def test_a_bar_is_drawn_while_the_stream_leads_elsewhere_for_a_moment(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr", terminal)
    with progress("checking photos", 3, "photos") as advance:
        monkeypatch.setattr(Terminal, "isatty", lambda self: False)
        advance(3)
    assert " 3/3 " in last_frame(terminal)


def test_nothing_is_shown_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr("sys.stderr", screen)
    with progress("checking photos", 3, "photos") as advance:
        advance()
    assert screen.getvalue() == ""


@pytest.mark.parametrize(
    ("total", "unit", "done", "steps", "shown"),
    [
        (3000, "photos", 0, [1, 999], " 1000/3000 "),
        (None, "photos", 0, [7], " 7/?"),
        (3_000_000, BYTES, 1_000_000, [200_000, 300_000], " 1.5/3.0 MB "),
        (None, BYTES, 1_000_000, [500_000], " 1.5/? MB "),
    ],
)
def test_a_bar_shows_the_done_and_the_total_units(
    terminal: Terminal,
    monkeypatch: pytest.MonkeyPatch,
    total: int | None,
    unit: str,
    done: int,
    steps: list[int],
    shown: str,
) -> None:
    monkeypatch.setattr("sys.stderr", terminal)
    with progress("checking [x]", total, unit, done=done) as advance:
        for step in steps:
            advance(step)
    assert last_frame(terminal).startswith("checking [x] ")
    assert shown in last_frame(terminal)
