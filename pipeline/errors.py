"""Errors whose messages are written for the user."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake that the user can fix: the problem and the value that caused it, then what to do.

    Printed as plain lines, without a traceback; the command ends with exit code 2.
    """

    def __init__(self, problem: str, *advice: str) -> None:
        super().__init__("\n".join((problem, *advice)))


class Unavailable(UserError):
    """Data or weights are not available, for example without a network; a sweep may skip such a point."""


def nearest(word: str, words: Iterable[str]) -> str:
    """Return a question that suggests the most similar of the allowed words, or an empty text."""
    found = difflib.get_close_matches(word, list(words), n=1, cutoff=0.6)
    return f" Did you mean {found[0]}?" if found else ""


class Undecided(Exception):
    """Raised by a stage's `resolve` under `run.plan=true` if a value can only be found by work, such as a download."""


class Stopped(KeyboardInterrupt):
    """Work that a signal stopped cleanly; the message says what was kept and how to resume.

    Printed as plain lines; the command ends with exit code 128 + the signal's number: 130 for Ctrl-C, 143 for SIGTERM.
    """

    def __init__(self, signal: int, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.signal = signal
