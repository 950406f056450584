"""RandAugment's operations, compared with Pillow's, and how often each is drawn."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from slimline.stages.backend.tensorflow import tf
from slimline.stages.images.randaugment import OPERATIONS, rand_augment


def photo(height: int, width: int, low: int, high: int) -> np.ndarray:
    random = np.random.default_rng(height * 1000 + width)
    rough = Image.fromarray(random.integers(low, high + 1, (5, 7, 3), dtype=np.uint8))
    return np.asarray(rough.resize((width, height), Image.Resampling.BILINEAR)) + random.integers(
        0, 20, (height, width, 3), dtype=np.uint8
    )


def rotate(image: Image.Image, level: float, sign: int) -> Image.Image:
    return image.rotate(sign * 30 * level, Image.Resampling.BILINEAR, fillcolor=(128,) * 3)


def affine(image: Image.Image, *matrix: float) -> Image.Image:
    return image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR, fillcolor=(128,) * 3)


PILLOW = {
    "identity": lambda image, level, sign: image,
    "autocontrast": lambda image, level, sign: ImageOps.autocontrast(image),
    "equalize": lambda image, level, sign: ImageOps.equalize(image),
    "rotate": rotate,
    "solarize": lambda image, level, sign: ImageOps.solarize(image, 256 - int(256 * level)),
    "color": lambda image, level, sign: ImageEnhance.Color(image).enhance(1 + sign * 0.9 * level),
    "posterize": lambda image, level, sign: ImageOps.posterize(image, 8 - round(4 * level)),
    "contrast": lambda image, level, sign: ImageEnhance.Contrast(image).enhance(1 + sign * 0.9 * level),
    "brightness": lambda image, level, sign: ImageEnhance.Brightness(image).enhance(1 + sign * 0.9 * level),
    "sharpness": lambda image, level, sign: ImageEnhance.Sharpness(image).enhance(1 + sign * 0.9 * level),
    "shear_x": lambda image, level, sign: affine(image, 1, sign * 0.3 * level, 0, 0, 1, 0),
    "shear_y": lambda image, level, sign: affine(image, 1, 0, 0, sign * 0.3 * level, 1, 0),
    "translate_x": lambda image, level, sign: affine(image, 1, 0, sign * 0.45 * level * image.width, 0, 1, 0),
    "translate_y": lambda image, level, sign: affine(image, 1, 0, 0, 0, 1, sign * 0.45 * level * image.height),
}
GEOMETRY = {"rotate", "shear_x", "shear_y", "translate_x", "translate_y"}


def test_all_of_randaugments_operations_exist():
    assert set(OPERATIONS) == set(PILLOW)


def away_from_edges(moved: Image.Image) -> np.ndarray:
    """Mark the pixels away from the moved image's edges, where Pillow doesn't mix in the gray from outside."""
    inside = np.asarray(moved)[..., 0] > 128
    padded = np.pad(inside, 1)
    around = [padded[i : i + inside.shape[0], j : j + inside.shape[1]] for i in range(3) for j in range(3)]
    return np.all(around, 0) | ~np.any(around, 0)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("level", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("name", PILLOW)
def test_randaugments_operations_are_pillows(name, level, sign):
    image = photo(33, 40, 20, 220)
    ours = OPERATIONS[name](tf.constant(image, tf.float32), level, tf.constant(float(sign))).numpy()
    theirs = np.asarray(PILLOW[name](Image.fromarray(image), level, sign)).astype(float)
    apart = np.abs(ours - theirs)
    if name in GEOMETRY:
        kept = away_from_edges(PILLOW[name](Image.new("RGB", (40, 33), (255, 255, 255)), level, sign))
        assert kept.mean() > 0.7
        apart = apart[kept]
    assert apart.max() <= 1
    assert (ours == ours.round()).all()
    assert 0 <= ours.min() <= ours.max() <= 255
    if level == 1.0 and name != "identity":
        assert np.abs(ours - image).mean() > 1


@pytest.mark.parametrize("name", PILLOW)
def test_an_image_of_one_color_equals_pillows_too(name):
    image = np.full((5, 6, 3), (0, 77, 255), np.uint8)
    ours = OPERATIONS[name](tf.constant(image, tf.float32), 0.3, tf.constant(1.0)).numpy()
    if name not in GEOMETRY:
        assert np.abs(ours - np.asarray(PILLOW[name](Image.fromarray(image), 0.3, 1)).astype(float)).max() <= 1
    assert np.isfinite(ours).all()


def test_each_operation_is_drawn_equally_often_and_in_both_directions():
    image = tf.constant(photo(16, 16, 20, 220), tf.float32)
    outcomes = {
        (name, sign): operation(image, 0.3, tf.constant(float(sign))).numpy().tobytes()
        for name, operation in OPERATIONS.items()
        for sign in (1, -1)
    }
    draw = tf.function(lambda seed: rand_augment(image, 1, 9.0, seed), autograph=False)
    drawn = [draw(tf.constant([number, 5])).numpy().tobytes() for number in range(700)]
    assert set(drawn) <= set(outcomes.values())
    for name in OPERATIONS:
        one, other = outcomes[name, 1], outcomes[name, -1]
        count = sum(result in (one, other) for result in drawn)
        assert 25 < count < 80  # 50, and a standard deviation of 7
        if one != other:
            assert 8 < drawn.count(one) < count - 8


def test_layers_are_applied_one_after_another():
    image = tf.constant(photo(16, 16, 20, 220), tf.float32)
    for number in range(20):
        seed = tf.constant([number, 8])
        expected = image
        for choice, way in tf.random.stateless_uniform([3, 2], seed).numpy():
            operation = list(OPERATIONS.values())[int(choice * 14)]
            expected = operation(expected, 0.5, tf.constant(-1.0 if way < 0.5 else 1.0))
        assert np.abs(rand_augment(image, 3, 15.0, seed) - expected).max() == 0


def test_no_layers_leave_whole_numbers():
    image = np.float32([[[-3.0, 0.4, 0.6], [254.7, 255.4, 300.0]]])
    assert rand_augment(tf.constant(image), 0, 9.0, tf.constant([1, 2])).numpy().tolist() == [
        [[0, 0, 1], [255, 255, 255]]
    ]
