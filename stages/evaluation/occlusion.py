"""Occlusion maps: how much a class's score falls when a part of the photo is covered.

Only the model's scores are needed, so the method is the same for every format and network.
Source: Zeiler and Fergus 2014, https://arxiv.org/abs/1311.2901, section 4.2.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from slimline.stages.images.files import decode

GRID = 7
PATCH = 2.0
"""The side of a patch, in cells of the grid: neighboring patches overlap by half."""

LONGEST_PX = 384
QUALITY = 95
HEAT = (255, 176, 0)
"""The color (RGB) that is mixed into the bright parts of an overlay, a quarter of it at most."""


def covered(encoded: bytes) -> list[bytes]:
    """Return the scaled-down photo, then GRID x GRID copies, row by row, each with one patch in the mean color."""
    image = _small(encoded)
    pixels = np.asarray(image)
    mean = tuple(int(value) for value in pixels.reshape(-1, 3).mean(axis=0).round())
    made = [_encode(image)]
    for row in range(GRID):
        for column in range(GRID):
            one = image.copy()
            one.paste(mean, _patch(column, row, image.width, image.height))
            made.append(_encode(one))
    return made


def score_drops(scores: NDArray[Any], number: int) -> NDArray[np.float64]:
    """Return how much each patch lowers a class's probability, [GRID, GRID] float64 in [0, 1].

    `scores` are the model's probabilities for the photos of `covered`, [1 + GRID * GRID, classes]. Where covering
    raises the probability, the drop is 0.
    """
    own = np.asarray(scores, np.float64)[:, number]
    drops: NDArray[np.float64] = np.maximum(own[0] - own[1:], 0).reshape(GRID, GRID)
    return drops


def overlay(encoded: bytes, drops: NDArray[np.float64]) -> bytes:
    """Return the photo as JPEG: dark where covering changes nothing, bright where it lowers the score most."""
    image = _small(encoded)
    largest = drops.max()
    strength = drops / largest if largest > 0 else drops
    map_px = Image.fromarray((255 * strength).astype(np.uint8)).resize(image.size, Image.Resampling.BICUBIC)
    share = np.asarray(map_px.filter(ImageFilter.GaussianBlur(max(image.size) / GRID / 4)), np.float64)[..., None] / 255
    pixels = np.asarray(image, np.float64)
    lit = pixels * (0.35 + 0.65 * share)
    mixed = lit + share * 0.25 * (np.array(HEAT) - lit)
    return _encode(Image.fromarray(np.clip(mixed, 0, 255).round().astype(np.uint8)))


def _small(encoded: bytes) -> Any:
    image = decode(encoded, upright=True).convert("RGB")
    image.thumbnail((LONGEST_PX, LONGEST_PX))
    return image


def _patch(column: int, row: int, width: int, height: int) -> tuple[int, int, int, int]:
    """Return the box of a patch, in pixels: left, top, right, bottom."""
    half = PATCH / 2
    left, right = ((column + 0.5 + side * half) / GRID * width for side in (-1, 1))
    top, bottom = ((row + 0.5 + side * half) / GRID * height for side in (-1, 1))
    return max(0, round(left)), max(0, round(top)), min(width, round(right)), min(height, round(bottom))


def _encode(image: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=QUALITY)
    return file.getvalue()
