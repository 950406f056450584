"""libjpeg's messages: each is assigned to its photo, and nothing of them reaches the error stream."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from slimline.stages.backend.tensorflow import tf
from slimline.stages.images.decoder_messages import MESSAGE, _finished, decode_attentively, shows_damage
from tests.stages.data.checking.handmade import save

END = b"\xff\xd9"
PREMATURE = "Corrupt JPEG data: premature end of data segment"
ROOT = Path(__file__).parents[3]


def photo(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    return save(Image.fromarray(pixels), "JPEG")


def halved(jpeg: bytes) -> bytes:
    return jpeg[: len(jpeg) // 2] + END


def decode(photos: Sequence[bytes]) -> list[object]:
    return [tf.io.decode_jpeg(one).shape.as_list() for one in photos]


def messages(photos: Sequence[bytes]) -> list[list[str]]:
    return [said for _, said in decode_attentively(decode, photos)]


def test_a_message_is_assigned_to_its_photo_and_the_error_stream_stays_silent(capfd):
    photos = [photo(0), halved(photo(1)), photo(2), photo(3)[:-2] + bytes(30) + END]
    first, damaged, third, [superfluous] = messages(photos)
    assert (first, damaged, third) == ([], [PREMATURE], [])
    # libjpeg reads up to eight bytes ahead, which it does not count.
    assert re.fullmatch(r"Corrupt JPEG data: (2[2-9]|30) extraneous bytes before marker 0xd9", superfluous)
    assert capfd.readouterr().err == ""


def test_each_photo_has_its_results_also_after_a_second_decoding():
    found = decode_attentively(decode, [photo(0), halved(photo(1))])
    assert [result for result, _ in found] == [[48, 64, 3]] * 2


def test_photos_without_a_message_are_decoded_once():
    calls = []

    def counting(photos: Sequence[bytes]) -> list[object]:
        calls.append(len(photos))
        return decode(photos)

    decode_attentively(counting, [photo(number) for number in range(5)])
    decode_attentively(counting, [photo(0), halved(photo(1))])
    assert calls == [5, 2, 1, 1]


def test_many_threads_never_mix_up_their_messages(capfd):
    """Of 600 photos in groups, decoded by eight threads at once, exactly the damaged ones have a message."""
    groups = [[photo(10 * group + number) for number in range(10)] for group in range(60)]
    damaged = {(group, number) for group in range(0, 60, 3) for number in (group % 10, (group + 4) % 10)}
    for group, number in damaged:
        groups[group][number] = halved(groups[group][number])
    with ThreadPoolExecutor(8) as executor:
        found = list(executor.map(messages, groups))
    said = {(group, number) for group, row in enumerate(found) for number, one in enumerate(row) if one}
    assert said == damaged
    assert capfd.readouterr().err == ""


def test_whatever_else_is_written_meanwhile_is_passed_on_in_order(capfd):
    def talk(photos: Sequence[bytes]) -> list[object]:
        os.write(2, b"before, without a line's end ")
        found = decode(photos)
        os.write(2, b"after\n")
        return found

    assert [said for _, said in decode_attentively(talk, [halved(photo(0))])] == [[PREMATURE]]
    assert capfd.readouterr().err == "before, without a line's end after\n" * 2


def test_other_threads_can_write_at_any_time_and_nothing_is_lost(capfd):
    done = threading.Event()
    written = []

    def write() -> None:
        while not done.is_set():
            written.append(len(written))
            os.write(2, b"line %d\n" % written[-1])

    writer = threading.Thread(target=write)
    writer.start()
    for number in range(40):
        messages([photo(number), halved(photo(number))])
    done.set()
    writer.join()
    messages([photo(0)])  # a line that was written while the stream was restored comes with the next ones
    expected = "".join(f"line {number}\n" for number in written)
    # A line may come late, or in two parts, if the stream is restored while it is written.
    assert Counter(capfd.readouterr().err) == Counter(expected)


def test_half_a_message_is_not_passed_on_before_it_is_whole():
    for words in ("", "a bar, 3%", "line\n"):
        for start in ("C", "Corrupt JP", "Corrupt JPEG data: pre"):
            assert _finished(f"{words}{start}".encode()) == len(words)
    for text in ("", "Corrupted", "Corrupt JPEG data: bad\nbar, 4%"):
        assert _finished(text.encode()) == len(text)


def test_an_error_of_the_decoder_is_raised_and_the_stream_restored(capfd):
    def fail(photos: Sequence[bytes]) -> list[object]:
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        decode_attentively(fail, [photo(0)])
    os.write(2, b"restored\n")
    assert capfd.readouterr().err == "restored\n"


CLOSED = """
import os, sys
from tests.stages.images.test_decoder_messages import PREMATURE, halved, messages, photo
os.close(2)
assert messages([halved(photo(0)), photo(1)]) == [[PREMATURE], []]
try:
    os.fstat(2)
except OSError:
    print("still closed")
"""


def test_a_closed_error_stream_stays_closed():
    done = subprocess.run([sys.executable, "-c", CLOSED], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "still closed\n", done.stderr


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (PREMATURE, True),
        ("Corrupt JPEG data: bad Huffman code", True),
        ("Corrupt JPEG data: found marker 0xd9 instead of RST3", True),
        ("Corrupt JPEG data: 2 extraneous bytes before marker 0xd9", False),
        ("Corrupt JPEG data: 17 extraneous bytes before marker 0xd9", True),
        ("Corrupt JPEG data: 400 extraneous bytes before marker 0xda", True),
        ("Corrupt JPEG data: 400 extraneous bytes before marker 0xe1", False),
        ("Warning: unknown JFIF revision number 2.01", False),
        ("Unsupported marker type 0x1b", True),
    ],
)
def test_damage_is_told_from_oddities(message, expected):
    assert shows_damage(message) == expected


@pytest.mark.parametrize(
    "line", ["ingest: a warning", "I0000 00:00 cpu_feature_guard.cc:210] This", "Huffman was here"]
)
def test_lines_of_others_are_not_taken_for_messages(line):
    assert not re.fullmatch(MESSAGE, f"{line}\n".encode())
