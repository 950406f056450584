"""Occlusion maps: the drops are largest where the model looks."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from slimline.stages.evaluation.occlusion import GRID, LONGEST_PX, covered, overlay, score_drops


def photo(width: int, height: int, bright: tuple[int, int, int, int]) -> bytes:
    """Draw a dark photo with one bright box."""
    image = Image.new("RGB", (width, height), (20, 20, 20))
    image.paste((250, 250, 250), bright)
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def pixels(encoded: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB"), np.float64)


def brightest(encoded: bytes) -> float:
    """Return the share of bright pixels."""
    return float(np.mean(pixels(encoded) > 200))


@pytest.mark.parametrize(
    ("box", "cell"), [((0, 0, 40, 30), (0, 0)), ((320, 220, 350, 240), (5, 6)), ((190, 140, 210, 160), (3, 3))]
)
def test_the_score_falls_most_where_the_network_looks(box, cell):
    encoded = photo(400, 300, box)
    scores = np.array([[brightest(one), 0.5] for one in covered(encoded)])
    drops = score_drops(scores, 0)
    assert drops.shape == (GRID, GRID)
    assert np.hypot(*(np.array(np.unravel_index(drops.argmax(), drops.shape)) - cell)) <= 1.5
    assert (drops == 0).sum() > GRID * GRID / 2
    assert (score_drops(scores, 1) == 0).all()
    seen = pixels(overlay(encoded, drops))
    height, width = seen.shape[:2]
    left, top, right, bottom = (round(side * width / 400) for side in box)
    inside = seen[top:bottom, left:right].mean()
    plain = pixels(overlay(encoded, np.zeros((GRID, GRID))))[top:bottom, left:right].mean()
    assert inside > 1.5 * plain  # bright; without a drop it would be dark
    far = seen[: height // 8, -width // 8 :] if box[0] < 200 else seen[-height // 8 :, : width // 8]
    assert far.mean() < 20


def test_copies_are_small_and_upright_and_their_patches_cover_the_photo():
    image = Image.new("RGB", (1200, 800), (90, 90, 90))
    image.paste((200, 0, 0), (0, 0, 600, 800))
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated by 90 degrees
    image.save(file, "JPEG", exif=exif)
    made = covered(file.getvalue())
    assert len(made) == 1 + GRID * GRID
    whole = pixels(made[0])
    assert whole.shape == (LONGEST_PX, LONGEST_PX * 2 // 3, 3)
    changed = np.zeros(whole.shape[:2], bool)
    for one in made[1:]:
        changed |= np.abs(pixels(one) - whole).max(axis=2) > 20
    assert changed.mean() > 0.98


def test_a_score_that_rises_counts_as_no_drop():
    scores = np.concatenate([[[0.5]], np.full((GRID * GRID, 1), 0.9)])
    assert (score_drops(scores, 0) == 0).all()
