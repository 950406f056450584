"""RandAugment's operations in the graph, each equal to Pillow's operation of the same name, up to rounding.

Images are [height, width, 3] float32 of whole numbers, 0 to 255. A level goes from 0 (little is changed) to 1; a sign
of 1 or -1 is the direction. The ranges are the paper's; every operation gets stronger as its level grows.
Sources: https://arxiv.org/abs/1909.13719; https://arxiv.org/abs/1805.09501, table 6 (the ranges);
https://github.com/huggingface/pytorch-image-models/blob/main/timm/data/auto_augment.py (strengths that grow).
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from slimline.stages.backend.tensorflow import tf
from slimline.stages.images.augmentation_config import RandAugmentConfig
from slimline.stages.images.preprocessing_config import Preprocessing
from slimline.stages.images.views import view

MOST_MAGNITUDE = 30
FILL = 128.0
MOST_DEGREES, MOST_SHEAR, MOST_TRANSLATION, MOST_ENHANCEMENT = 30, 0.3, 0.45, 0.9
LUMA_65536THS = (19595, 38470, 7471)
"""Pillow's weights of red, green and blue in gray."""


def randaugment(encoded: Any, wanted: Preprocessing, config: RandAugmentConfig, seeds: list[Any]) -> Any:
    """Return a random crop, changed by random operations: see `AugmentationRow` for arguments and result."""
    return rand_augment(view(encoded, wanted, config, seeds), config.layers, config.magnitude, seeds[2])


def rand_augment(image: Any, layers: int, magnitude: float, seed: Any) -> Any:
    """Apply `layers` random operations to an image [height, width, 3] float32: whole numbers, 0 to 255.

    `magnitude`, 0 to 30, is the strength of all operations. `seed`, [2] int32, decides every draw.
    """
    image = _whole(tf.round(image))
    level = magnitude / MOST_MAGNITUDE
    draws = tf.random.stateless_uniform([layers, 2], seed)
    for layer in range(layers):
        choice = tf.cast(draws[layer, 0] * len(OPERATIONS), tf.int32)
        sign = tf.where(draws[layer, 1] < 0.5, -1.0, 1.0)
        branches = [functools.partial(operation, image, level, sign) for operation in OPERATIONS.values()]
        image = tf.ensure_shape(tf.switch_case(choice, branches), image.shape)
    return image


def identity(image: Any, level: float, sign: Any) -> Any:
    """Change nothing."""
    return image


def autocontrast(image: Any, level: float, sign: Any) -> Any:
    """Stretch each channel's values over 0 to 255; a channel with a single value isn't changed."""
    low, high = (_channels(reduce(reduce(image, 0), 0), image) for reduce in (tf.reduce_min, tf.reduce_max))
    varied = high > low
    scale = tf.where(varied, high - low, 255.0)
    return tf.floor((image - tf.where(varied, low, 0.0)) * 255 / scale)


def equalize(image: Any, level: float, sign: Any) -> Any:
    """Spread each channel's values so that equal ranges of them have about equally many pixels."""
    index = tf.cast(image, tf.int32) + _channels(tf.constant([0, 256, 512]), image)
    counts = tf.reshape(tf.math.bincount(tf.reshape(index, [-1]), minlength=768, maxlength=768), [3, 256])
    last = tf.reduce_max(tf.where(counts > 0, tf.range(256), 0), 1)
    total = tf.reduce_sum(counts, 1, keepdims=True)
    step = (total - tf.gather(counts, last[:, None], batch_dims=1)) // 255
    spread = (step // 2 + tf.cumsum(counts, 1, exclusive=True)) // tf.maximum(step, 1)
    table = tf.where(step > 0, tf.minimum(spread, 255), tf.range(256))
    return tf.gather(tf.cast(tf.reshape(table, [-1]), tf.float32), index)


def solarize(image: Any, level: float, sign: Any) -> Any:
    """Invert the values that are at or above a threshold, 256 down to 0."""
    return tf.where(image < 256 - int(256 * level), image, 255 - image)


def posterize(image: Any, level: float, sign: Any) -> Any:
    """Keep the highest 8 to 4 bits."""
    step = 2 ** round(4 * level)
    return tf.floor(image * (1 / step)) * step


def color(image: Any, level: float, sign: Any) -> Any:
    """Move each pixel away from its gray value, or toward it."""
    return _blend(_gray(image), image, level, sign)


def contrast(image: Any, level: float, sign: Any) -> Any:
    """Move all pixels away from the image's mean gray value, or toward it."""
    gray = tf.cast(_gray(image), tf.int64)  # whole numbers: their sum is the same in any order
    mean = tf.cast(tf.reduce_sum(gray), tf.float32) / tf.cast(tf.size(gray), tf.float32)
    return _blend(tf.floor(mean + 0.5), image, level, sign)


def brightness(image: Any, level: float, sign: Any) -> Any:
    """Move all pixels away from black, or toward it."""
    return _blend(0.0, image, level, sign)


def sharpness(image: Any, level: float, sign: Any) -> Any:
    """Move each pixel away from the mean of its neighborhood (itself counted 5 times), or toward it; not at edges."""
    padded = tf.pad(image, [[1, 1], [1, 1], [0, 0]])  # so that images of any size have the rows and columns below
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    neighbors = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]
    smooth = tf.floor((neighbors + 4 * image) / 13 + 0.5)
    inside = np.zeros([*image.shape[:2], 1], bool)
    inside[1:-1, 1:-1] = True
    return _blend(tf.where(inside, smooth, image), image, level, sign)


def rotate(image: Any, level: float, sign: Any) -> Any:
    """Rotate about the center, by up to 30 degrees."""
    height, width, _ = image.shape
    angle = sign * (math.radians(MOST_DEGREES) * level)
    cosine, sine = tf.cos(angle), tf.sin(angle)
    x, y = width / 2, height / 2
    return _transform(image, cosine, -sine, x - cosine * x + sine * y, sine, cosine, y - sine * x - cosine * y)


def shear_x(image: Any, level: float, sign: Any) -> Any:
    """Move each row sideways by up to 0.3 of its distance from the top."""
    return _transform(image, 1.0, sign * (MOST_SHEAR * level), 0.0, 0.0, 1.0, 0.0)


def shear_y(image: Any, level: float, sign: Any) -> Any:
    """Move each column up or down by up to 0.3 of its distance from the left."""
    return _transform(image, 1.0, 0.0, 0.0, sign * (MOST_SHEAR * level), 1.0, 0.0)


def translate_x(image: Any, level: float, sign: Any) -> Any:
    """Move the image sideways, by up to 0.45 of its width."""
    return _transform(image, 1.0, 0.0, sign * (MOST_TRANSLATION * level * image.shape[1]), 0.0, 1.0, 0.0)


def translate_y(image: Any, level: float, sign: Any) -> Any:
    """Move the image up or down, by up to 0.45 of its height."""
    return _transform(image, 1.0, 0.0, 0.0, 0.0, 1.0, sign * (MOST_TRANSLATION * level * image.shape[0]))


OPERATIONS = {
    operation.__name__: operation
    for operation in (
        identity,
        autocontrast,
        equalize,
        rotate,
        solarize,
        color,
        posterize,
        contrast,
        brightness,
        sharpness,
        shear_x,
        shear_y,
        translate_x,
        translate_y,
    )
}


def _whole(image: Any) -> Any:
    """Clip values to 0 to 255 and round them down, as Pillow does."""
    return tf.floor(tf.raw_ops.ClipByValue(t=image, clip_value_min=0.0, clip_value_max=255.0))


def _channels(values: Any, image: Any) -> Any:
    """Repeat one value per channel along an image's row: [width, 3]; adding that to an image is six times as fast."""
    return tf.tile(values[None], [image.shape[1], 1])


def _gray(image: Any) -> Any:
    """Return an image's gray values [height, width, 1]."""
    weights = tf.constant(LUMA_65536THS, tf.float32, [3, 1]) / 65536
    return tf.reshape(tf.floor(tf.reshape(image, [-1, 3]) @ weights + 0.5), [*image.shape[:2], 1])


def _blend(other: Any, image: Any, level: float, sign: Any) -> Any:
    """Move an image away from another, or toward it, by up to 0.9 of their distance."""
    return _whole(other + (1 + sign * (MOST_ENHANCEMENT * level)) * (image - other))


def _transform(image: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any) -> Any:
    """Move what is at (a x + b y + c, d x + e y + f) in an image to (x, y); points from outside of it become gray.

    Coordinates are those of pixel centers, at halves, as in Pillow; TensorFlow's are whole numbers.
    """
    c, f = c + ((a - 1) + b) / 2, f + (d + (e - 1)) / 2
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=image[None],
        transforms=tf.stack([a, b, c, d, e, f, 0.0, 0.0])[None],
        output_shape=tf.shape(image)[:2],
        fill_value=FILL,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
    return tf.round(moved[0])
