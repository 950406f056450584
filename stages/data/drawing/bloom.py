"""Blooms: functions that draw the garden's flowers and leaves, shape by shape.

Points are complex numbers, x + iy with y pointing down, so a rotation is a multiplication.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray
from PIL import ImageDraw

GOLDEN_ANGLE = np.pi * (3 - 5**0.5)
LEAVES = ((58, 110, 44), (84, 138, 58), (40, 84, 50), (120, 150, 70), (96, 120, 84))

Floats = NDArray[np.float64]
Points = NDArray[np.complex128]


@dataclass(frozen=True)
class Bloom:
    """A flower's colors and place: a point z of its unit circle is drawn at center + direct z + mirrored z*."""

    rng: Generator
    draw: ImageDraw.ImageDraw
    petal: Floats
    disc: Floats
    center_px: complex
    direct_px: complex
    mirrored_px: complex

    def place(self, points: Points) -> Points:
        return self.center_px + self.direct_px * points + self.mirrored_px * points.conj()

    def fill(self, outlines: Points, colors: Floats) -> None:
        """Fill outlines, `[shape, point]`, with colors, `[shape, 3]`, in that order."""
        points_px = self.place(outlines).view(np.float64).tolist()
        for points, color in zip(points_px, to_bytes(colors).tolist(), strict=True):
            self.draw.polygon(points, fill=tuple(color))


def draw_rays(bloom: Bloom, species: str) -> None:
    """Draw a daisy, a sunflower or a dandelion's head: rings of petals, the outermost first, then a disc."""
    rng, lengths, fewer, disc_radius, seeds = bloom.rng, [1.0, 0.88], 0, 0.0, 0
    if species == "daisy":
        count, width, tip = rng.integers(12, 27), rng.uniform(2.2, 3.6), rng.uniform(1.1, 1.9)
        lengths, disc_radius, seeds = lengths[: rng.integers(1, 3)], rng.uniform(0.17, 0.38), 30
    elif species == "sunflowers":
        count, width, tip = rng.integers(13, 24), rng.uniform(2.8, 3.8), rng.uniform(0.6, 1.0)
        disc_radius, seeds = rng.uniform(0.27, 0.54), 110
    else:
        count, width, tip = rng.integers(22, 34), rng.uniform(1.6, 2.6), 1.9
        lengths, fewer = [1, 0.84, 0.66, 0.46, 0.26], 3
    for layer, length in enumerate(lengths):
        number = int(count) - fewer * layer
        angles = (np.arange(number) + rng.uniform() + rng.normal(0, 0.14, number)) * 2 * np.pi / number
        reach, curl = length * rng.uniform(0.88, 1.04, number), rng.normal(0, 0.12, number)
        light = rng.uniform(0.84, 1.06, number) * (0.93 + 0.09 * np.cos(angles - 2)) * (1.12 - 0.14 * length)
        rims = _petals(angles, reach, width / count, tip, curl)
        insides = _petals(angles, reach * 0.96, width / count * 0.72, tip, curl)
        outlines = np.stack([rims, insides], axis=1).reshape(2 * number, -1)
        bloom.fill(outlines, bloom.petal * np.outer(light, (0.76, 1)).reshape(-1, 1))
    if seeds:
        rings = _circles(np.zeros(3), disc_radius * np.array((1, 0.9, 0.5)))
        bloom.fill(rings, bloom.disc * [[0.7], [0.95], [0.8]])
        grain = np.full(seeds, 0.55 * disc_radius / seeds**0.5)
        grains = _circles(_spiral(seeds) * disc_radius * 0.93, grain, points=6)
        bloom.fill(grains, bloom.disc * rng.choice([0.6, 1.25, 1.4], (seeds, 1)))


def draw_seed_ball(bloom: Bloom) -> None:
    """Draw a dandelion's seeds: lines to parachutes that are spread over a ball."""
    rng, count = bloom.rng, int(bloom.rng.integers(45, 75))
    pale = (bloom.petal + 3 * np.array((236, 236, 230))) / 4 * rng.uniform(0.8, 1.05, (count, 1))
    lines = np.repeat(_spiral(count)[:, None] * 0.85, 18, axis=1)
    lines[:, 0] = 0
    lines[:, 2::2] += np.exp(2j * np.pi * np.arange(8) / 8) * rng.uniform(0.08, 0.22, (count, 8))
    for line, color in zip(bloom.place(lines), pale, strict=True):
        bloom.draw.line(_flat(line), fill=ink(color), width=max(1, round(abs(bloom.direct_px) / 90)))
    bloom.fill(_circles(np.zeros(1), np.full(1, 0.12)), bloom.disc[None] * 0.6)


def draw_rose(bloom: Bloom) -> None:
    """Draw round petals that overlap along a spiral, from the outermost inwards."""
    rng, count = bloom.rng, int(bloom.rng.integers(15, 26))
    reach = np.linspace(1, 0.14, count) * rng.uniform(0.92, 1.06, count)
    centers = np.exp(1j * (np.arange(count) * GOLDEN_ANGLE + rng.normal(0, 0.15, count))) * reach * 0.42
    light = np.linspace(1, rng.uniform(0.55, 0.8), count) * rng.uniform(0.93, 1.05, count)
    radii = np.outer(reach * rng.uniform(0.55, 0.62), (1, 0.92, 0.7)).ravel()
    outlines = _circles(np.outer(centers, (1, 0.97, 0.7)).ravel(), radii)
    bloom.fill(outlines, bloom.petal * np.outer(light, (0.66, 1.06, 0.9)).reshape(-1, 1))


def draw_cup(bloom: Bloom, species: str) -> None:
    """Draw a tulip or a rose's bud from the side: the petals at the back, then at the sides, then in front."""
    rng, sides = bloom.rng, np.array([-0.5, 0.5, -1, 1, 0])
    tip = rng.uniform(0.75, 1.1) if species == "tulips" else 1.3
    opening, width = rng.uniform(0.1, 0.55), rng.uniform(0.6, 0.85)
    leans, curl = sides * (opening + 0.3) + rng.normal(0, 0.03, 5) - np.pi / 2, -sides * 0.75 * (1 - opening)
    lengths = np.array([1.5, 1.5, 1.45, 1.45, 1.35]) * rng.uniform(0.93, 1.05, 5)
    pairs = [_petals(leans, lengths * size, width * size**2, tip, curl) for size in (1.0, 0.95)]
    light = np.outer((0.72, 0.75, 0.88, 0.93, 1.04), (0.78, 1)).reshape(-1, 1)
    bloom.fill(np.stack(pairs, axis=1).reshape(10, -1) + 0.72j, bloom.petal * light)
    if species == "roses":
        leaves = _petals(np.array([-2.6, -0.5, -1.6]), np.full(3, 0.6), 0.22, 0.7, np.array([0.5, -0.5, 0]))
        bloom.fill(leaves + 0.74j, rng.choice(LEAVES) * [[0.9], [1.0], [1.1]])


def draw_stem(bloom: Bloom, radius_px: float, start: complex) -> None:
    """Draw a bent stem from the flower to below the picture's border, with up to two leaves."""
    rng, green, fall = bloom.rng, bloom.rng.choice(LEAVES), np.linspace(0, 1, 8)
    stem: Points = bloom.place(np.full(1, start)) + radius_px * (5j * fall + rng.normal(0, 0.9) * fall**2)
    width_px = max(2, int(radius_px * rng.uniform(0.07, 0.13)))
    bloom.draw.line(_flat(stem), fill=ink(green * 0.8), width=width_px)
    bloom.draw.line(_flat(stem - width_px / 5), fill=ink(green * 1.1), width=width_px // 2)
    for side in rng.choice([-1.0, 1.0], rng.integers(0, 3)):
        angle, length_px = -np.pi / 2 + side * rng.uniform(0.3, 1.1), radius_px * rng.uniform(0.8, 2)
        draw_leaf(rng, bloom.draw, stem[2], length_px * np.exp(1j * angle), rng.uniform(0.2, 0.6))


def draw_leaf(rng: Generator, draw: ImageDraw.ImageDraw, root: complex, reach: complex, slim: float) -> None:
    """Draw a pointed leaf, `slim` times as wide as long, with a lighter half; `root` and `reach` in px."""
    green = rng.choice(LEAVES) * rng.uniform(0.7, 1.2)
    outline = root + reach * _petals(np.zeros(1), np.ones(1), slim, 0.8, rng.normal(0, 0.25, 1))[0]
    draw.polygon(_flat(outline), fill=ink(green * 0.9))
    draw.polygon(_flat(outline[:9]), fill=ink(green * 1.12))


def _petals(angles: Floats, lengths: Floats, width: float, tip: float, curl: Floats) -> Points:
    """Return the outlines of petals that start at the origin, `[petal, point]`; a larger `tip` is rounder."""
    along = np.array([0.02, 0.14, 0.3, 0.46, 0.62, 0.76, 0.88, 0.96, 1.0])
    half = np.sin(np.pi * along**tip) ** (0.8 if tip > 1 else 1.0) * width / 2
    along, aside = np.concatenate([along, along[-2::-1]]), np.concatenate([half, -half[-2::-1]])
    bent = np.exp(1j * (angles[:, None] + np.outer(curl, along)))
    return np.asarray((np.outer(lengths, along) + 1j * aside) * bent, np.complex128)


def _circles(centers: ArrayLike, radii: Floats, points: int = 20) -> Points:
    """Return circles' outlines, `[circle, point]`."""
    turns = np.exp(2j * np.pi * np.arange(points) / points)
    return np.asarray(centers, np.complex128)[:, None] + np.outer(radii, turns)


def _spiral(count: int) -> Points:
    """Return points that are spread evenly over the unit circle, as a sunflower's seeds are (Vogel 1979)."""
    steps = np.arange(count)
    return np.asarray(np.sqrt((steps + 0.5) / count) * np.exp(1j * steps * GOLDEN_ANGLE), np.complex128)


def _flat(points: Points) -> list[float]:
    """Return points as x, y, x, y, the form that Pillow draws fastest."""
    flat: list[float] = points.view(np.float64).tolist()
    return flat


def to_bytes(values: Floats) -> NDArray[np.uint8]:
    """Convert color values to bytes, clipped to 0 to 255."""
    return np.clip(values, 0, 255).astype(np.uint8)


def ink(color: Floats) -> tuple[int, ...]:
    """Return a color, `[3]`, as a tuple for Pillow."""
    return tuple(to_bytes(color).tolist())
