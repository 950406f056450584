"""The embedded garden: drawings are reproducible and well formed, and color alone does not tell the species."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from slimline.pipeline.errors import UserError
from slimline.stages.data.drawing.garden import SIDE_MAX_PX, SIDE_MIN_PX, SPECIES, draw_flower

REPOSITORY = Path(__file__).parents[4]
DRAWINGS_PER_SPECIES = 60
BINS_PER_CHANNEL = 4
RIDGE_PENALTY = 100.0


def test_a_drawing_depends_on_nothing_but_its_arguments() -> None:
    first = [draw_flower(species, 3, 7) for species in SPECIES]
    draw_flower("roses", 1, 1)
    assert first == [draw_flower(species, 3, 7) for species in SPECIES]


def test_another_process_draws_the_same() -> None:
    program = (
        "import hashlib; from slimline.stages.data.drawing.garden import SPECIES, draw_flower;"
        "print(hashlib.sha256(b''.join(draw_flower(s, n, 5) for s in SPECIES for n in range(4))).hexdigest())"
    )
    command = [sys.executable, "-c", program]
    run = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    drawings = b"".join(draw_flower(species, number, 5) for species in SPECIES for number in range(4))
    assert run.stdout.strip() == hashlib.sha256(drawings).hexdigest()


def test_every_species_number_and_seed_gives_another_drawing() -> None:
    arguments = [(species, number, seed) for species in SPECIES for number in range(3) for seed in range(3)]
    assert len({draw_flower(*argument) for argument in arguments}) == len(arguments)


@pytest.mark.parametrize("species", SPECIES)
def test_a_drawing_is_a_color_jpeg_of_the_stated_size(species: str) -> None:
    for number in range(10):
        picture = Image.open(io.BytesIO(draw_flower(species, number, 0)))
        assert (picture.format, picture.mode) == ("JPEG", "RGB")
        assert all(SIDE_MIN_PX <= side <= SIDE_MAX_PX for side in picture.size)
        assert np.asarray(picture).std() > 5, "a drawing is not blank"


def test_an_unknown_species_is_refused_with_the_choices() -> None:
    with pytest.raises(UserError) as refusal:
        draw_flower("orchid", 0, 0)
    assert all(word in str(refusal.value) for word in ("orchid", *SPECIES))


@pytest.mark.slow
def test_color_tells_something_but_not_the_species() -> None:
    """Chance is 20%; logistic regression on 512 bins and 300 drawings per species reached 41%."""
    arguments = [(species, number, 0) for number in range(DRAWINGS_PER_SPECIES) for species in SPECIES]
    histograms = np.array([_color_histogram(draw_flower(*argument)) for argument in arguments])
    histograms = (histograms - histograms.mean(axis=0)) / (histograms.std(axis=0) + 1e-6)
    labels = np.tile(np.arange(len(SPECIES)), DRAWINGS_PER_SPECIES)
    folds = np.repeat(np.arange(DRAWINGS_PER_SPECIES) % 5, len(SPECIES))
    predictions = np.empty_like(labels)
    for fold in range(5):
        known = histograms[folds != fold]
        targets = np.eye(len(SPECIES))[labels[folds != fold]] - 1 / len(SPECIES)
        penalty = RIDGE_PENALTY * np.eye(known.shape[1])
        weights = np.linalg.solve(known.T @ known + penalty, known.T @ targets)
        predictions[folds == fold] = (histograms[folds == fold] @ weights).argmax(axis=1)
    assert 0.27 < np.mean(predictions == labels) < 0.65


def _color_histogram(jpeg: bytes) -> NDArray[np.float64]:
    """Return the square roots of the shares of pixels in each bin, `[bin]`."""
    pixels = np.asarray(Image.open(io.BytesIO(jpeg))).reshape(-1, 3).astype(int) * BINS_PER_CHANNEL // 256
    bins = pixels @ (BINS_PER_CHANNEL**2, BINS_PER_CHANNEL, 1)
    shares: NDArray[np.float64] = np.bincount(bins, minlength=BINS_PER_CHANNEL**3) / len(bins)
    return np.sqrt(shares)
