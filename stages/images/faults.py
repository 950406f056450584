"""Faults: kinds of reasons why photos are left out, and the line that counts them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Fault(StrEnum):
    """Kind of reason why a photo is left out, in the words of a summary."""

    avif = "AVIF"
    damaged = "damaged"
    duplicate = "duplicates"
    empty = "empty"
    faulty_row = "in faulty rows"
    heif = "HEIC"
    labeled_twice = "with two labels"
    missing = "missing"
    near_twin = "near twins of test photos"
    no_class_folder = "in no class folder"
    not_an_image = "not an image"
    test_duplicate = "duplicates of test photos"
    too_large = "too large"
    unlabeled = "without a label"
    unreadable = "unreadable"
    unsupported = "in an unsupported format"
    web_address = "web addresses"


ONE = {
    Fault.duplicate: "duplicate",
    Fault.faulty_row: "in a faulty row",
    Fault.near_twin: "near twin of a test photo",
    Fault.test_duplicate: "duplicate of a test photo",
    Fault.web_address: "web address",
}
ADVICE = {Fault.heif: "pip install pillow-heif", Fault.avif: "pip install 'pillow>=11.3'"}


def left_out_line(counts: Mapping[Fault, int], total: int) -> str:
    """Count the photos that were left out: `left out 24 of 180: 20 HEIC (pip install pillow-heif), 4 damaged`.

    `total` is the number of all photos, those that were left out included. The line is empty if none were.
    """
    count = sum(counts.values())
    return f"left out {count:,} of {total:,}: {counted(counts)}" if count else ""


def counted(counts: Mapping[Fault, int]) -> str:
    """Return the numbers of photos by kind of reason, the largest first: `20 HEIC (pip install ...), 4 damaged`."""
    found = sorted((fault for fault in counts if counts[fault]), key=lambda fault: (-counts[fault], fault))
    return ", ".join(_part(fault, counts[fault]) for fault in found)


def _part(fault: Fault, count: int) -> str:
    advice = f" ({ADVICE[fault]})" if fault in ADVICE else ""
    return f"{count:,} {ONE[fault] if count == 1 and fault in ONE else fault.value}{advice}"
