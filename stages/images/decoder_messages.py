"""Messages that libjpeg prints while it decodes: kept off the terminal, and assigned to the photos they are about.

libjpeg decodes photos that are damaged inside as well as it can, and prints what it finds on the process's error
stream, without a name. TensorFlow, OpenCV and Pillow give no other sign of it. So the error stream leads into a file
while photos are decoded. Many are decoded together, in several threads; only if something was printed meanwhile, each
of them is decoded again, alone. Whatever else is written to the error stream is passed on.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from fcntl import F_GETFL, F_SETFL, fcntl
from tempfile import TemporaryFile
from typing import TypeVar

T = TypeVar("T")

ERROR_STREAM = 2
MOST_BYTES = 1_000_000

FIRST_WORDS = """
Application transferred too|Arithmetic table 0x|Bogus DAC|Bogus DHT|Bogus DQT|Bogus Huffman table|Bogus JPEG colorspace
Bogus buffer control|Bogus input colorspace|Bogus marker length|Bogus message code|Bogus sampling factors
Bogus virtual array|Buffer passed to JPEG library|CCIR601 sampling|Cannot quantize|Component index|Corrupt JPEG data
DCT coefficient|DCT scaled|Didn't expect more than one scan|Empty JPEG image|Empty input file|Fractional sampling
Huffman code size|Huffman table 0x|Image too wide|Improper call to JPEG|Inconsistent progression sequence
Input file read error|Insufficient memory (case|Invalid JPEG file|Invalid SOS parameters|Invalid color quantization
Invalid component ID|Invalid crop request|Invalid progressive parameters|JPEG datastream contains|JPEG parameter struct
Maximum supported image|Missing Huffman code|Not a JPEG file|Premature end of|Quantization table 0x
Requested feature was omitted|Sampling factors too large|Suspension not allowed|Too many color components
Unknown Adobe color|Unsupported JPEG|Unsupported color conversion|Unsupported marker type|Virtual array controller
Warning: unknown JFIF|Wrong JPEG library
"""
"""The first words of the messages of libjpeg's decoder.

Source: libjpeg-turbo, jerror.h
"""
STARTS = [words.encode() for words in re.split(r"[|\n]", FIRST_WORDS.strip())]
MESSAGE = re.compile(rb"(?:%s)[^\n]*\n" % b"|".join(map(re.escape, STARTS)))
UNFINISHED = re.compile(MESSAGE.pattern.removesuffix(rb"\n") + rb"\Z")
ODDITIES = ("Warning: unknown JFIF", "Unknown Adobe color", "Invalid SOS parameters")
SUPERFLUOUS = re.compile(r"Corrupt JPEG data: (?P<count>\d+) extraneous bytes before marker 0x(?P<marker>..)")
AFTER_PIXELS = re.compile("c4|d[0-9a]")
"""The markers that may follow pixels: of tables and scans, restarts, and the end."""

FEW_BYTES = 16
"""Webcams leave up to a few superfluous bytes in the photos that they write. One changed bit leaves from 1 to 165."""


def shows_damage(message: str) -> bool:
    """Return whether a message means that pixels are missing or wrong, rather than that a file is oddly written."""
    if found := SUPERFLUOUS.match(message):
        return int(found["count"]) > FEW_BYTES and AFTER_PIXELS.match(found["marker"]) is not None
    return not message.startswith(ODDITIES)


def decode_attentively(
    decode: Callable[[Sequence[bytes]], Sequence[T] | None], photos: Sequence[bytes]
) -> list[tuple[T, list[str]]]:
    """Decode photos together; return for each what `decode` returns for it, and the messages that libjpeg printed.

    libjpeg prints its first warning about a photo only, and its error. `decode` gets all photos, and each photo by
    itself if there was a message, or if it returned None for several: it must return one result per photo.
    """
    with ERRORS.reading() as printed:
        results = decode(photos)
    if results is not None and not printed:
        return [(result, []) for result in results]
    found = []
    for photo in photos:
        with ERRORS.reading(alone=True) as printed:
            results = decode([photo])
        assert results is not None
        found.append((results[0], printed))
    return found


class _ErrorStream:
    """The process's error stream, which leads into a file while decoders are at work.

    Decoders in several threads may work at the same time, or one of them alone: then all messages are its own.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._at_work = 0
        self._waiting_to_be_alone = 0
        self._is_alone = False
        self._file = -1
        self._original: int | None = None
        self._passed_on = 0

    @contextmanager
    def reading(self, alone: bool = False) -> Iterator[list[str]]:
        """Yield a list that holds, at the end, the messages that libjpeg printed meanwhile, in any thread."""
        printed: list[str] = []
        start = self._begin(alone)
        try:
            yield printed
        finally:
            messages = MESSAGE.findall(self._end(start))
            printed += [message.decode("utf-8", "replace").strip() for message in messages]

    def _begin(self, alone: bool) -> int:
        """Wait until this decoder may work, and return how many bytes were printed before."""
        with self._changed:
            self._waiting_to_be_alone += alone
            try:
                self._changed.wait_for(self._may_be_alone if alone else self._may_join)
            finally:
                self._waiting_to_be_alone -= alone
            if not self._at_work:
                self._redirect()
            self._at_work += 1
            self._is_alone = alone
            return self._size()

    def _end(self, start: int) -> bytes:
        """Return what was printed since `start`."""
        with self._changed:
            text = self._read(start)
            self._at_work -= 1
            self._is_alone = False
            if self._at_work:
                self._pass_on()
            else:
                self._restore()
            self._changed.notify_all()
        return text

    def _may_be_alone(self) -> bool:
        return not self._at_work

    def _may_join(self) -> bool:
        return not self._is_alone and not self._waiting_to_be_alone

    def _redirect(self) -> None:
        try:
            self._original = os.dup(ERROR_STREAM)
        except OSError:  # it is closed
            self._original = None
        if self._file < 0:
            self._file = _unnamed_file()
        os.dup2(self._file, ERROR_STREAM)

    def _restore(self) -> None:
        if self._original is None:
            os.close(ERROR_STREAM)
        else:
            os.dup2(self._original, ERROR_STREAM)
        self._pass_on(unfinished=True)
        if self._original is not None:
            os.close(self._original)
        if self._passed_on > MOST_BYTES:  # not each time: another thread's last line may still be on its way here
            os.ftruncate(self._file, 0)
            self._passed_on = 0

    def _pass_on(self, unfinished: bool = False) -> None:
        """Write to the original stream what is not a message of libjpeg, nor the start of one."""
        text = self._read(self._passed_on)
        text = text if unfinished else text[: _finished(text)]
        self._passed_on += len(text)
        left = MESSAGE.sub(b"", text)
        with suppress(OSError):  # its reader may have gone
            while left and self._original is not None:
                left = left[os.write(self._original, left) :]

    def _size(self) -> int:
        return os.fstat(self._file).st_size

    def _read(self, start: int) -> bytes:
        size = self._size() - start
        return os.pread(self._file, size, start) if size else b""


def _finished(text: bytes) -> int:
    """Return the length of a text without what may be the start of a message that is being written."""
    if found := UNFINISHED.search(text):
        return found.start()
    longest = min(len(text), max(map(len, STARTS)))
    most = next((n for n in range(longest, 0, -1) if any(start.startswith(text[-n:]) for start in STARTS)), 0)
    return len(text) - most


def _unnamed_file() -> int:
    """Open an unnamed file, in memory where that is possible, in which all writers append."""
    if hasattr(os, "memfd_create"):
        number = os.memfd_create("messages")
    else:
        with TemporaryFile() as file:
            number = os.dup(file.fileno())
    fcntl(number, F_SETFL, fcntl(number, F_GETFL) | os.O_APPEND)  # otherwise threads may write over each other's text
    return os.dup(number) if number == ERROR_STREAM else number  # the next file gets the number of a closed stream


ERRORS = _ErrorStream()
