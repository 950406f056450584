"""The errors that a user is meant to read."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake that the user can mend: what is wrong with which value, then what to do.

    Printed as plain lines, without a traceback; the command ends with exit code 2.
    """

    def __init__(self, problem: str, *advice: str) -> None:
        super().__init__("\n".join((problem, *advice)))


class Unavailable(UserError):
    """What is asked for must come from elsewhere, and can't be had now; a sweep may leave such a point out."""


def nearest(word: str, words: Iterable[str], prefix: str = "") -> str:
    """Return the question whether the most similar of the allowed words was meant, or an empty text."""
    found = difflib.get_close_matches(word, list(words), n=1, cutoff=0.6)
    return f" Did you mean {prefix}{found[0]}?" if found else ""


class Undecided(Exception):
    """Raised by a stage's `resolve` under `run.plan=true`: settling it would need work, such as a download."""


class Stopped(KeyboardInterrupt):
    """Work that a signal ended in good order: what was kept, and how to go on.

    Printed as plain lines; the command ends with exit code 128 + the signal's number: 130 for Ctrl-C, 143 for SIGTERM.
    """

    def __init__(self, signal: int, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.signal = signal
