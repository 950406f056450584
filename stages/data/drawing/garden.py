"""The embedded garden: flowers drawn by the program, for machines that can't download photos.

The species differ in structure (rays, discs, spirals, cups) and share colors, backgrounds and light. With 300
drawings per species, seed 0, a linear head on EfficientNet-Lite0 classifies 9 of 10 correctly, a color histogram
4 of 10. Points are complex numbers, x + iy with y pointing down, so a rotation is a multiplication.
"""

from __future__ import annotations

import io
from zlib import crc32

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from slimline.pipeline.errors import UserError
from slimline.stages.data.drawing.bloom import (
    LEAVES,
    Bloom,
    draw_cup,
    draw_leaf,
    draw_rays,
    draw_rose,
    draw_seed_ball,
    draw_stem,
    ink,
    to_bytes,
)

SPECIES: tuple[str, ...] = ("daisy", "dandelion", "roses", "sunflowers", "tulips")
JPEG_QUALITY = 90
SIDE_MIN_PX, SIDE_MAX_PX = 240, 320
SUPERSAMPLING = 2
# These shares set the difficulty: typical colors help a histogram, rose buds and neighbors mislead a network.
TYPICAL_COLOR_SHARE, SEED_BALL_SHARE, ROSE_BUD_SHARE = 0.7, 0.25, 0.32
STEM_SHARE, NEIGHBOR_SHARE, SAME_NEIGHBOR_SHARE, BLUR_SHARE = 0.6, 0.6, 0.5, 0.4

WHITE, CREAM, PINK, VIOLET = (246, 245, 240), (250, 234, 190), (244, 160, 182), (150, 96, 190)
YELLOW, GOLD, ORANGE = (252, 216, 40), (242, 174, 20), (242, 122, 36)
RED, CRIMSON, MAGENTA = (214, 36, 38), (150, 16, 48), (214, 60, 140)
PETALS = (WHITE, CREAM, YELLOW, GOLD, ORANGE, RED, CRIMSON, PINK, MAGENTA, VIOLET)
TYPICAL_PETALS = {
    "daisy": (WHITE, WHITE, WHITE, CREAM, PINK, YELLOW, VIOLET),
    "dandelion": (YELLOW, YELLOW, GOLD, CREAM),
    "roses": (RED, CRIMSON, PINK, WHITE, YELLOW, CREAM),
    "sunflowers": (YELLOW, GOLD, GOLD, ORANGE, CREAM),
    "tulips": (RED, YELLOW, PINK, WHITE, VIOLET, ORANGE, MAGENTA),
}
DISCS = ((238, 190, 34), (226, 156, 28), (150, 120, 40), (104, 66, 30), (70, 44, 28), (120, 140, 50))
MEADOWS = ((148, 190, 232), (90, 140, 205), (206, 222, 235), (70, 112, 52), (116, 156, 76), (36, 62, 36))
WALLS = ((92, 66, 46), (128, 100, 74), (190, 180, 164), (160, 96, 76), (226, 214, 196), (60, 60, 72))
GROUNDS = MEADOWS + WALLS


def draw_flower(species: str, number: int, seed: int) -> bytes:
    """Draw one flower as a JPEG file, RGB, each side 240 to 320 px: a pure function of its arguments.

    `number` and `seed` count from 0.

    Raises:
        UserError: the species is not in `SPECIES`.
    """
    if species not in SPECIES:
        raise UserError(f"{species!r} is not a species that can be drawn.", f"Choose one of: {', '.join(SPECIES)}.")
    rng = np.random.default_rng([seed, crc32(species.encode()), number])
    width_px, height_px = rng.integers(SIDE_MIN_PX, SIDE_MAX_PX + 1, 2).tolist()
    scene = _draw_background(rng, species, width_px, height_px)
    # Enlarged without smoothing (0.2 ms instead of 1.7): reducing it later restores the background exactly.
    scene = scene.resize((width_px * SUPERSAMPLING, height_px * SUPERSAMPLING), Image.Resampling.NEAREST)
    _plant(rng, scene, species, count=int(rng.choice([1, 2, 3, 4], p=[0.62, 0.2, 0.12, 0.06])), scale=1.0)
    _draw_blades(rng, scene, count=int(rng.integers(0, 5)))
    file = io.BytesIO()
    _photograph(rng, scene.reduce(SUPERSAMPLING)).save(file, "JPEG", quality=JPEG_QUALITY)
    return file.getvalue()


def _draw_background(rng: Generator, species: str, width_px: int, height_px: int) -> Image.Image:
    """Draw the background at a small size, then enlarge it: this blurs it as a lens does, at no cost."""
    shrink = rng.choice([1.5, 2.5, 4, 6])
    columns, rows = int(width_px / shrink), int(height_px / shrink)
    top, bottom, other = rng.choice(GROUNDS, 3)
    kind = rng.choice(["gradient", "lights", "grass", "soil", "wall"])
    grid = top + (bottom - top) * np.linspace(0, 1, 8)[:, None, None] + np.zeros((8, 8, 1))
    if kind == "soil":
        grid = bottom + rng.normal(0, 22, (36, 36, 1)) + rng.normal(0, 5, (36, 36, 3))
    ground = Image.fromarray(to_bytes(grid)).resize((columns, rows), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(ground)
    if kind == "lights":
        for color in (rng.choice(GROUNDS + PETALS + LEAVES, 14) + other) / 2:
            x, y, radius = rng.uniform(0, 1, 3) * (columns, rows, columns * 0.13)
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=ink(color))
    elif kind == "grass":
        _draw_blades(rng, ground, count=24)
    elif kind == "wall":
        high, wide = rows / rng.integers(4, 10), columns / rng.integers(2, 5)
        for row, column in np.ndindex(10, 6):
            x, y, brick = (column - row % 2 / 2) * wide, row * high, ink(bottom * rng.uniform(0.9, 1.1))
            draw.rectangle((x, y, x + wide, y + high), brick, outline=ink(other), width=1 + columns // 120)
    if rng.random() < NEIGHBOR_SHARE:
        neighbor = species if rng.random() < SAME_NEIGHBOR_SHARE else str(rng.choice(SPECIES))
        _plant(rng, ground, neighbor, count=int(rng.integers(1, 4)), scale=0.6)
    return ground.filter(ImageFilter.BoxBlur(1)).resize((width_px, height_px), Image.Resampling.BILINEAR)


def _plant(rng: Generator, scene: Image.Image, species: str, count: int, scale: float) -> None:
    """Draw `count` flowers of one species and one color, the one in front last and nearest to the middle."""
    draw, side_px = ImageDraw.Draw(scene), min(scene.size)
    typical = rng.random() < TYPICAL_COLOR_SHARE
    petal, disc = rng.choice(TYPICAL_PETALS[species] if typical else PETALS), rng.choice(DISCS)
    upright = species == "tulips" or (species == "roses" and rng.random() < ROSE_BUD_SHARE)
    for behind in range(count - 1, -1, -1):
        radius_px = side_px * scale * rng.uniform(0.14, 0.48) * 0.8 ** (count - 1 + (behind > 0))
        x, y = np.clip(rng.normal(0.5, 0.27 if behind else 0.13, 2), 0.1, 0.9) * scene.size
        turn, tilt = rng.normal(0, 0.3) if upright else rng.uniform(0, 2 * np.pi), rng.normal(0, 0.3)
        squash = rng.uniform(0.85, 1.1) if upright else rng.uniform(0.6 if species == "roses" else 0.4, 1.0)
        direct_px = radius_px * (1 + squash) / 2 * np.exp(1j * (tilt + turn))
        mirrored_px = radius_px * (1 - squash) / 2 * np.exp(1j * (tilt - turn))
        paints = petal + rng.normal(0, 10, 3), disc + rng.normal(0, 10, 3)
        bloom = Bloom(rng, draw, *paints, complex(x, y), direct_px, mirrored_px)
        if upright or rng.random() < STEM_SHARE:
            draw_stem(bloom, radius_px, start=0.65j if upright else 0j)
        if upright:
            draw_cup(bloom, species)
        elif species == "roses":
            draw_rose(bloom)
        elif species == "dandelion" and rng.random() < SEED_BALL_SHARE:
            draw_seed_ball(bloom)
        else:
            draw_rays(bloom, species)


def _draw_blades(rng: Generator, scene: Image.Image, count: int) -> None:
    """Draw blades of grass and long leaves that rise from the lower border."""
    draw, side_px = ImageDraw.Draw(scene), min(scene.size)
    for _ in range(count):
        x, y = rng.uniform((0, 1), (1, 1.3)) * scene.size
        reach_px = side_px * rng.uniform(0.4, 1.0) * np.exp(1j * rng.normal(-np.pi / 2, 0.35))
        draw_leaf(rng, draw, complex(x, y), reach_px, rng.uniform(0.06, 0.22))


def _photograph(rng: Generator, scene: Image.Image) -> Image.Image:
    """Light the scene unevenly, then simulate a camera: blur, exposure, color cast and noise."""
    axis = np.linspace(-1, 1, 6)
    light = 255 - rng.uniform(0, 60) * np.add.outer(axis**2, axis**2)
    light -= rng.uniform(0, 90) * rng.random((6, 6)) ** 2
    shade = Image.fromarray(to_bytes(light)).resize(scene.size, Image.Resampling.BICUBIC)
    scene = ImageChops.multiply(scene, shade.convert("RGB"))
    if rng.random() < BLUR_SHARE:
        scene = scene.filter(ImageFilter.BoxBlur(rng.uniform(0.3, 1.8)))
    tone = np.linspace(0, 1, 256)[None, :] ** rng.uniform(0.65, 1.3) - 0.5
    tone = 0.5 + tone * rng.uniform(0.75, 1.15) * rng.normal(1, 0.06, (3, 1)) + rng.uniform(-0.06, 0.08)
    scene = scene.point(to_bytes(tone * 255).ravel().tolist())
    amount = int(rng.integers(2, 20))
    noise = rng.integers(0, amount, (scene.height, scene.width, 3), dtype=np.uint8)
    return ImageChops.add(scene, Image.fromarray(noise), offset=-amount // 2)
