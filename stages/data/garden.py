"""The embedded garden: flowers drawn by the program, for when no photograph can be downloaded.

The species differ in structure (rays, discs, spirals, cups) and share colours, backgrounds and light. Of 300
drawings each, seed 0, a linear head on EfficientNet-Lite0 gets 9 in 10 right, a colour histogram 4 in 10.
Points are complex numbers, x + iy with y pointing down, so that to turn is to multiply.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from pipeline.errors import UserError

SPECIES: tuple[str, ...] = ("daisy", "dandelion", "roses", "sunflowers", "tulips")
JPEG_QUALITY = 90
SIDE_MIN_PX, SIDE_MAX_PX = 240, 320
SUPERSAMPLING = 2
GOLDEN_ANGLE = np.pi * (3 - 5**0.5)
# They set the difficulty: typical colours help a histogram, rose buds and neighbours mislead a network.
TYPICAL_COLOUR_SHARE, SEED_BALL_SHARE, ROSE_BUD_SHARE = 0.7, 0.25, 0.22
STEM_SHARE, NEIGHBOUR_SHARE, SAME_NEIGHBOUR_SHARE, BLUR_SHARE = 0.6, 0.45, 0.5, 0.4

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
LEAVES = ((58, 110, 44), (84, 138, 58), (40, 84, 50), (120, 150, 70), (96, 120, 84))
MEADOWS = ((148, 190, 232), (90, 140, 205), (206, 222, 235), (70, 112, 52), (116, 156, 76), (36, 62, 36))
WALLS = ((92, 66, 46), (128, 100, 74), (190, 180, 164), (160, 96, 76), (226, 214, 196), (60, 60, 72))
GROUNDS = MEADOWS + WALLS

Floats = NDArray[np.float64]
Points = NDArray[np.complex128]


@dataclass(frozen=True)
class Bloom:
    """One flower's paint and place: a point z of its unit circle goes to centre + direct z + mirrored z*."""

    rng: Generator
    draw: ImageDraw.ImageDraw
    petal: Floats
    disc: Floats
    centre_px: complex
    direct_px: complex
    mirrored_px: complex

    def place(self, points: Points) -> Points:
        return self.centre_px + self.direct_px * points + self.mirrored_px * points.conj()

    def fill(self, outlines: Points, colours: Floats) -> None:
        """Fill outlines, `[shape, point]`, with colours, `[shape, 3]`, in that order."""
        points_px = self.place(outlines).view(np.float64).tolist()
        for points, colour in zip(points_px, _bytes(colours).tolist(), strict=True):
            self.draw.polygon(points, fill=tuple(colour))


def draw_flower(species: str, number: int, seed: int) -> bytes:
    """Draw one flower as a JPEG file, RGB, each side 240 to 320 px: a pure function of its arguments.

    `number` and `seed` count from 0.

    Raises:
        UserError: the species is none of `SPECIES`.
    """
    if species not in SPECIES:
        raise UserError(f"No {species!r} grows in the garden.", f"Choose one of: {', '.join(SPECIES)}.")
    rng = np.random.default_rng([seed, crc32(species.encode()), number])
    width_px, height_px = rng.integers(SIDE_MIN_PX, SIDE_MAX_PX + 1, 2).tolist()
    scene = _draw_background(rng, species, width_px, height_px)
    # Enlarged without smoothing (0.2 ms, not 1.7): the reduction gives back the background exactly.
    scene = scene.resize((width_px * SUPERSAMPLING, height_px * SUPERSAMPLING), Image.Resampling.NEAREST)
    _plant(rng, scene, species, count=int(rng.choice([1, 2, 3, 4], p=[0.62, 0.2, 0.12, 0.06])), scale=1.0)
    _draw_blades(rng, scene, count=int(rng.integers(0, 5)))
    file = io.BytesIO()
    _photograph(rng, scene.reduce(SUPERSAMPLING)).save(file, "JPEG", quality=JPEG_QUALITY)
    return file.getvalue()


def _draw_background(rng: Generator, species: str, width_px: int, height_px: int) -> Image.Image:
    """Draw what is behind the flower small, then enlarge it: the lens's blur, at no cost."""
    shrink = rng.choice([1.5, 2.5, 4, 6])
    columns, rows = int(width_px / shrink), int(height_px / shrink)
    top, bottom, other = rng.choice(GROUNDS, 3)
    kind = rng.choice(["gradient", "lights", "grass", "soil", "wall"])
    grid = top + (bottom - top) * np.linspace(0, 1, 8)[:, None, None] + np.zeros((8, 8, 1))
    if kind == "soil":
        grid = bottom + rng.normal(0, 22, (36, 36, 1)) + rng.normal(0, 5, (36, 36, 3))
    ground = Image.fromarray(_bytes(grid)).resize((columns, rows), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(ground)
    if kind == "lights":
        for colour in (rng.choice(GROUNDS + PETALS + LEAVES, 14) + other) / 2:
            x, y, radius = rng.uniform(0, 1, 3) * (columns, rows, columns * 0.13)
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=_ink(colour))
    elif kind == "grass":
        _draw_blades(rng, ground, count=24)
    elif kind == "wall":
        high, wide = rows / rng.integers(4, 10), columns / rng.integers(2, 5)
        for row, column in np.ndindex(10, 6):
            x, y, brick = (column - row % 2 / 2) * wide, row * high, _ink(bottom * rng.uniform(0.9, 1.1))
            draw.rectangle((x, y, x + wide, y + high), brick, outline=_ink(other), width=1 + columns // 120)
    if rng.random() < NEIGHBOUR_SHARE:
        neighbour = species if rng.random() < SAME_NEIGHBOUR_SHARE else str(rng.choice(SPECIES))
        _plant(rng, ground, neighbour, count=int(rng.integers(1, 4)), scale=0.6)
    return ground.filter(ImageFilter.BoxBlur(1)).resize((width_px, height_px), Image.Resampling.BILINEAR)


def _plant(rng: Generator, scene: Image.Image, species: str, count: int, scale: float) -> None:
    """Draw `count` flowers of one species and one colour, the one in front last and nearest to the middle."""
    draw, side_px = ImageDraw.Draw(scene), min(scene.size)
    typical = rng.random() < TYPICAL_COLOUR_SHARE
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
            _draw_stem(bloom, radius_px, start=0.65j if upright else 0j)
        if upright:
            _draw_cup(bloom, species)
        elif species == "roses":
            _draw_rose(bloom)
        elif species == "dandelion" and rng.random() < SEED_BALL_SHARE:
            _draw_seed_ball(bloom)
        else:
            _draw_rays(bloom, species)


def _draw_rays(bloom: Bloom, species: str) -> None:
    """Draw a daisy, a sunflower or a dandelion's head: rings of petals, the outer first, then a disc."""
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


def _draw_seed_ball(bloom: Bloom) -> None:
    """Draw a dandelion's seeds: spokes to parachutes that are spread over a ball."""
    rng, count = bloom.rng, int(bloom.rng.integers(45, 75))
    pale = (bloom.petal + 3 * np.array((236, 236, 230))) / 4 * rng.uniform(0.8, 1.05, (count, 1))
    lines = np.repeat(_spiral(count)[:, None] * 0.85, 18, axis=1)
    lines[:, 0] = 0
    lines[:, 2::2] += np.exp(2j * np.pi * np.arange(8) / 8) * rng.uniform(0.08, 0.22, (count, 8))
    for line, colour in zip(bloom.place(lines), pale, strict=True):
        bloom.draw.line(_flat(line), fill=_ink(colour), width=max(1, round(abs(bloom.direct_px) / 90)))
    bloom.fill(_circles(np.zeros(1), np.full(1, 0.12)), bloom.disc[None] * 0.6)


def _draw_rose(bloom: Bloom) -> None:
    """Draw round petals that overlap along a spiral, from the outermost inwards."""
    rng, count = bloom.rng, int(bloom.rng.integers(15, 26))
    reach = np.linspace(1, 0.14, count) * rng.uniform(0.92, 1.06, count)
    centres = np.exp(1j * (np.arange(count) * GOLDEN_ANGLE + rng.normal(0, 0.15, count))) * reach * 0.42
    light = np.linspace(1, rng.uniform(0.55, 0.8), count) * rng.uniform(0.93, 1.05, count)
    radii = np.outer(reach * rng.uniform(0.55, 0.62), (1, 0.92, 0.7)).ravel()
    outlines = _circles(np.outer(centres, (1, 0.97, 0.7)).ravel(), radii)
    bloom.fill(outlines, bloom.petal * np.outer(light, (0.66, 1.06, 0.9)).reshape(-1, 1))


def _draw_cup(bloom: Bloom, species: str) -> None:
    """Draw a tulip or a rose's bud from the side: the petals at the back, at the sides, then in front."""
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


def _draw_stem(bloom: Bloom, radius_px: float, start: complex) -> None:
    """Draw a bent stem from the flower to below the picture, with up to two leaves."""
    rng, green, fall = bloom.rng, bloom.rng.choice(LEAVES), np.linspace(0, 1, 8)
    stem: Points = bloom.place(np.full(1, start)) + radius_px * (5j * fall + rng.normal(0, 0.9) * fall**2)
    width_px = max(2, int(radius_px * rng.uniform(0.07, 0.13)))
    bloom.draw.line(_flat(stem), fill=_ink(green * 0.8), width=width_px)
    bloom.draw.line(_flat(stem - width_px / 5), fill=_ink(green * 1.1), width=width_px // 2)
    for side in rng.choice([-1.0, 1.0], rng.integers(0, 3)):
        angle, length_px = -np.pi / 2 + side * rng.uniform(0.3, 1.1), radius_px * rng.uniform(0.8, 2)
        _draw_leaf(rng, bloom.draw, stem[2], length_px * np.exp(1j * angle), rng.uniform(0.2, 0.6))


def _draw_blades(rng: Generator, scene: Image.Image, count: int) -> None:
    """Draw blades of grass and long leaves that rise from the lower border."""
    draw, side_px = ImageDraw.Draw(scene), min(scene.size)
    for _ in range(count):
        x, y = rng.uniform((0, 1), (1, 1.3)) * scene.size
        reach_px = side_px * rng.uniform(0.4, 1.0) * np.exp(1j * rng.normal(-np.pi / 2, 0.35))
        _draw_leaf(rng, draw, complex(x, y), reach_px, rng.uniform(0.06, 0.22))


def _draw_leaf(rng: Generator, draw: ImageDraw.ImageDraw, start: complex, reach: complex, slim: float) -> None:
    """Draw a pointed leaf, `slim` times as wide as long, with a lighter half; `start` and `reach` in px."""
    green = rng.choice(LEAVES) * rng.uniform(0.7, 1.2)
    outline = start + reach * _petals(np.zeros(1), np.ones(1), slim, 0.8, rng.normal(0, 0.25, 1))[0]
    draw.polygon(_flat(outline), fill=_ink(green * 0.9))
    draw.polygon(_flat(outline[:9]), fill=_ink(green * 1.12))


def _photograph(rng: Generator, scene: Image.Image) -> Image.Image:
    """Light the scene unevenly, then see it as a camera does: blur, exposure, colour cast and noise."""
    axis = np.linspace(-1, 1, 6)
    light = 255 - rng.uniform(0, 60) * np.add.outer(axis**2, axis**2)
    light -= rng.uniform(0, 90) * rng.random((6, 6)) ** 2
    shade = Image.fromarray(_bytes(light)).resize(scene.size, Image.Resampling.BICUBIC)
    scene = ImageChops.multiply(scene, shade.convert("RGB"))
    if rng.random() < BLUR_SHARE:
        scene = scene.filter(ImageFilter.BoxBlur(rng.uniform(0.3, 1.8)))
    tone = np.linspace(0, 1, 256)[None, :] ** rng.uniform(0.65, 1.3) - 0.5
    tone = 0.5 + tone * rng.uniform(0.75, 1.15) * rng.normal(1, 0.06, (3, 1)) + rng.uniform(-0.06, 0.08)
    scene = scene.point(_bytes(tone * 255).ravel().tolist())
    amount = int(rng.integers(2, 20))
    noise = rng.integers(0, amount, (scene.height, scene.width, 3), dtype=np.uint8)
    return ImageChops.add(scene, Image.fromarray(noise), offset=-amount // 2)


def _petals(angles: Floats, lengths: Floats, width: float, tip: float, curl: Floats) -> Points:
    """Return the outlines of petals that leave the origin, `[petal, point]`; a larger `tip` is rounder."""
    along = np.array([0.02, 0.14, 0.3, 0.46, 0.62, 0.76, 0.88, 0.96, 1.0])
    half = np.sin(np.pi * along**tip) ** (0.8 if tip > 1 else 1.0) * width / 2
    along, aside = np.concatenate([along, along[-2::-1]]), np.concatenate([half, -half[-2::-1]])
    bent = np.exp(1j * (angles[:, None] + np.outer(curl, along)))
    return np.asarray((np.outer(lengths, along) + 1j * aside) * bent, np.complex128)


def _circles(centres: ArrayLike, radii: Floats, points: int = 20) -> Points:
    """Return circles' outlines, `[circle, point]`."""
    turns = np.exp(2j * np.pi * np.arange(points) / points)
    return np.asarray(centres, np.complex128)[:, None] + np.outer(radii, turns)


def _spiral(count: int) -> Points:
    """Return points spread evenly over the unit circle, as seeds are (Vogel 1979)."""
    steps = np.arange(count)
    return np.asarray(np.sqrt((steps + 0.5) / count) * np.exp(1j * steps * GOLDEN_ANGLE), np.complex128)


def _flat(points: Points) -> list[float]:
    """Return points as x, y, x, y, the form that Pillow draws fastest."""
    flat: list[float] = points.view(np.float64).tolist()
    return flat


def _bytes(values: Floats) -> NDArray[np.uint8]:
    return np.clip(values, 0, 255).astype(np.uint8)


def _ink(colour: Floats) -> tuple[int, ...]:
    return tuple(_bytes(colour).tolist())
