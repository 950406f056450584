"""Near-duplicates: photos that look the same though their bytes differ."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

HASH_BITS = 64
SIDE_PX = 32
LEAST_SPREAD = 3.0
"""A picture whose brightness varies less than this (of 255) has nothing to tell it from others by."""

MOST_ALIKE = 1000
"""A hash that more photos share than this tells nothing (blank forms, say), and isn't compared."""

PAIRS_AT_ONCE = 1 << 22


def perceptual_hash(grey: NDArray[np.uint8]) -> int | None:
    """Hash a grey picture [height, width] by its lowest frequencies, to 64 bits; None if it is all alike.

    Re-encoding and resizing change few bits. It is OpenCV's `img_hash.pHash`, of the picture averaged to 32 px a side.
    Source: Zauner 2010, "Implementation and benchmarking of perceptual image hash functions", 3.2.1.
    """
    small = cv2.resize(grey, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
    if small.std() < LEAST_SPREAD:
        return None
    return int.from_bytes(cv2.img_hash.pHash(small).tobytes(), "big")


def near_pairs(
    hashes: NDArray[np.uint64], most_bits: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]:
    """Find the pairs of 64-bit hashes that differ in at most `most_bits`: (first, second, bits), each [pairs].

    `first` < `second`; sorted. Of most_bits + 1 bands of bits, two such hashes share one whole; so hashes are sorted by
    each band in turn, and compared where it is equal.
    Source: Manku, Jain and Das Sarma 2007, "Detecting near-duplicates for web crawling", 3.
    """
    usable = np.flatnonzero(~_is_common(hashes)).astype(np.int64)
    edges = np.linspace(0, HASH_BITS, most_bits + 2).astype(int)
    found: list[NDArray[Any]] = []
    for low, high in pairwise(edges):
        band = (hashes[usable] >> np.uint64(low)) & np.uint64((1 << int(high - low)) - 1)
        order = usable[np.argsort(band, kind="stable")]
        band = np.sort(band, kind="stable")
        positions, distance = np.arange(len(band)), 1
        while len(positions):
            positions = positions[positions + distance < len(band)]
            positions = positions[band[positions] == band[positions + distance]]
            first, second = order[positions], order[positions + distance]
            bits = np.bitwise_count(hashes[first] ^ hashes[second])
            near = bits <= most_bits
            pairs = np.stack([np.minimum(first, second), np.maximum(first, second)], 1)[near]
            found.append(np.unique(pairs, axis=0))
            distance += 1
    pairs = np.unique(np.concatenate(found), axis=0) if found else np.zeros((0, 2), np.int64)
    first, second = pairs[:, 0], pairs[:, 1]
    return first, second, np.bitwise_count(hashes[first] ^ hashes[second]).astype(np.uint8)


def _is_common(hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
    _, codes, counts = np.unique(hashes, return_inverse=True, return_counts=True)
    common: NDArray[np.bool_] = counts[codes] > MOST_ALIKE
    return common
