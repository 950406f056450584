"""Standard streams that are closed, or whose reader has gone: a run must not fail, or write into its own files."""

from __future__ import annotations

import io
import os
import sys
from typing import IO, Any


def open_standard_streams() -> None:
    """Open the null device in place of closed standard streams, so that no file of a run gets their numbers."""
    for number, flags in ((0, os.O_RDONLY), (1, os.O_WRONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, flags)  # gets the lowest free number, which is this one
    sys.stdin = sys.stdin or io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)))
    sys.stdout = sys.stdout or _writer(1)
    sys.stderr = sys.stderr or _writer(2)


def tolerate_missing_readers() -> None:
    """Continue without output once nobody reads a pipe any more, as after `| head`."""
    if _is_original(sys.stdout, sys.__stdout__):
        sys.stdout = _writer(1)
    if _is_original(sys.stderr, sys.__stderr__):
        sys.stderr = _writer(2)


def _is_original(stream: IO[str], original: IO[str] | None) -> bool:
    return stream is original and not stream.isatty()


def _writer(number: int) -> io.TextIOWrapper:
    current = sys.stdout if number == 1 else sys.stderr
    encoding, errors = (current.encoding, current.errors) if current else ("utf-8", "backslashreplace")
    buffered = io.BufferedWriter(_Pipe(number, "wb", closefd=False))
    return io.TextIOWrapper(buffered, encoding, errors, line_buffering=number == 2)


_lost: list[str] = []


def lost_output() -> str:
    """Return why lines could not be written, for example because the disk is full; an empty text if all were."""
    return _lost[0] if _lost else ""


class _Pipe(io.FileIO):
    """A stream that drops what is written once its reader has gone, or where it cannot be written."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            pass
        except OSError as error:  # the run itself is complete: `lost_output` tells of the lines at its end
            _lost.append(error.strerror or str(error))
        return len(memoryview(data).cast("B"))
