"""Near-duplicates: photos that look the same but have different bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

HASH_BITS = 64
SIDE_PX = 32
LEAST_SPREAD = 3.0
"""A picture whose brightness varies less than this (of 255) is too uniform to be compared with others."""

MOST_ALIKE = 1000
"""A hash that more photos than this share (blank forms, for example) is not informative, and is not compared."""

PAIRS_AT_ONCE = 1 << 18


def perceptual_hash(gray: NDArray[np.uint8]) -> int | None:
    """Hash a gray picture [height, width] by its lowest frequencies, to 64 bits; None if it is uniform.

    Re-encoding and resizing change few bits. The hash is OpenCV's `img_hash.pHash` of the picture averaged to 32 px per
    side.
    Source: Zauner 2010, "Implementation and benchmarking of perceptual image hash functions", 3.2.1.
    """
    small = cv2.resize(gray, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
    if cv2.meanStdDev(small)[1][0, 0] < LEAST_SPREAD:
        return None
    return int.from_bytes(cv2.img_hash.pHash(small).tobytes(), "big")


def near_pairs(
    hashes: NDArray[np.uint64], most_bits: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]:
    """Find the pairs of 64-bit hashes that differ in at most `most_bits` bits: (first, second, bits), each [pairs].

    `first` < `second`; the pairs are sorted. If the bits are divided into most_bits + 1 bands, two such hashes are
    equal in at least one band. So the hashes are sorted by each band in turn, and those with equal bands are compared.
    Source: Manku, Jain and Das Sarma 2007, "Detecting near-duplicates for web crawling", 3.
    """
    usable = np.flatnonzero(~_is_common(hashes)).astype(np.int64)
    bands = list(pairwise(np.linspace(0, HASH_BITS, most_bits + 2).astype(int).tolist()))
    found = [np.zeros((0, 2), np.int64)]
    for number, band in enumerate(bands):
        values = _bits_of(hashes[usable], band)
        order = np.argsort(values, kind="stable")
        rows, values = usable[order], values[order]
        ends = np.flatnonzero(values[1:] != values[:-1]) + 1
        for start, end in pairwise((0, *ends.tolist(), len(rows))):
            if end - start > 1:
                found.extend(_near(hashes, rows[start:end], most_bits, bands[:number]))
    pairs = np.concatenate(found)
    first, second = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))].T
    return first, second, np.bitwise_count(hashes[first] ^ hashes[second])


def _near(
    hashes: NDArray[np.uint64], rows: NDArray[np.int64], most_bits: int, done: Sequence[tuple[int, int]]
) -> Iterator[NDArray[np.int64]]:
    """Compare some rows with each other, a block at a time; pairs that are equal in a band of `done` are known."""
    own = hashes[rows]
    block = max(1, PAIRS_AT_ONCE // len(rows))
    for start in range(0, len(rows), block):
        differing = own[start : start + block, None] ^ own[None, start:]
        one, two = np.divmod(np.flatnonzero(np.bitwise_count(differing) <= most_bits), len(rows) - start)
        one, two = one[one < two], two[one < two]
        if len(one):
            bits = differing[one, two]
            new = np.logical_and.reduce([np.ones(len(bits), bool), *(_bits_of(bits, band) != 0 for band in done)])
            yield np.stack([rows[start + one], rows[start + two]], 1)[new]


def _bits_of(hashes: NDArray[np.uint64], band: tuple[int, int]) -> NDArray[np.uint64]:
    low, high = band
    return (hashes >> np.uint64(low)) & np.uint64((1 << (high - low)) - 1)


def _is_common(hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
    _, codes, counts = np.unique(hashes, return_inverse=True, return_counts=True)
    common: NDArray[np.bool_] = counts[codes] > MOST_ALIKE
    return common
