"""Random crops of photos, resized and perhaps mirrored, and random color changes."""

from __future__ import annotations

import math
from typing import Any

from slimline.stages.backend.tensorflow import tf
from slimline.stages.images.augmentation_config import CropConfig, ViewConfig
from slimline.stages.images.decoding import Box, decode_part
from slimline.stages.images.preprocessing_config import Preprocessing

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in gray: ITU-R BT.601."""
YIQ = (LUMA, (0.595716, -0.274453, -0.321263), (0.211456, -0.522591, 0.311135))
"""Weights of red, green and blue in gray and two color differences: NTSC."""
ATTEMPTS = 100


def crop(encoded: Any, wanted: Preprocessing, config: CropConfig, seeds: list[Any]) -> Any:
    """Return a random crop with changed colors: see `AugmentationRow` for arguments and result."""
    return _recolor(view(encoded, wanted, config, seeds), config, seeds[2])


def draw_box(
    size: Any, seed: Any, area: tuple[float, float], aspect: tuple[float, float], least_covered: float = 0.0
) -> Box:
    """Draw a box in an image of `size` (height, width) by TensorFlow's sample_distorted_bounding_box.

    The aspect ratio (width over height) is uniform in its range, then the height in what the area's range allows. If no
    box fits in 100 attempts, as in images that are very high or very wide, the box is the whole image.
    """
    begin, extent, _ = tf.image.stateless_sample_distorted_bounding_box(
        tf.concat([size, [3]], 0),
        tf.constant([0.0, 0.0, 1.0, 1.0], shape=[1, 1, 4]),
        seed,
        min_object_covered=least_covered,
        aspect_ratio_range=aspect,
        area_range=area,
        max_attempts=ATTEMPTS,
    )
    return begin[0], begin[1], extent[0], extent[1]


def color_matrix(saturation: Any, hue: Any) -> Any:
    """Return the matrix [3, 3] that a row (red, green, blue) is multiplied by, to change its saturation and hue.

    `saturation` is a factor of the distance from the pixel's gray value; `hue` is an angle in turns about the gray
    axis, in YIQ. Gray pixels and every pixel's luma are unchanged.
    """
    to_yiq = tf.constant(YIQ)
    cosine, sine = saturation * tf.cos(2 * math.pi * hue), saturation * tf.sin(2 * math.pi * hue)
    turn = tf.reshape(tf.stack([1.0, 0.0, 0.0, 0.0, cosine, -sine, 0.0, sine, cosine]), [3, 3])
    return tf.transpose(tf.linalg.inv(to_yiq) @ turn @ to_yiq)


def view(encoded: Any, wanted: Preprocessing, config: ViewConfig, seeds: list[Any]) -> Any:
    """Return a random crop, resized and perhaps mirrored: [input_px, input_px, 3] float32, about 0 to 255."""

    def box(size: Any) -> Box:
        return draw_box(size, seeds[0], (config.min_area, config.max_area), (config.aspect_min, config.aspect_max))

    image, _ = decode_part(encoded, box, exif=wanted.orientation == "exif")
    side_px = [wanted.input_px, wanted.input_px]
    if wanted.resize == "bicubic":
        image = tf.image.resize(image, side_px, method="bicubic")
    else:
        image = tf.compat.v1.image.resize_bilinear(image[None], side_px)[0]
    return mirror(image, tf.random.stateless_uniform([], seeds[1])) if config.flip else image


def mirror(image: Any, draw: Any) -> Any:
    """Mirror an image left to right if a draw from [0, 1) is below 0.5."""
    return tf.raw_ops.Reverse(tensor=image, dims=tf.stack([False, draw < 0.5, False]))


def between(draw: Any, low: float, high: float) -> Any:
    """Map a draw from [0, 1) to [low, high)."""
    return low + (high - low) * draw


def _recolor(image: Any, config: CropConfig, seed: Any) -> Any:
    """Change an image's contrast, saturation, hue and brightness: still 0 to 255, clipped once, at the end.

    Before the clipping all changes are linear, so their order doesn't matter. Saturation and hue are one
    multiplication. It takes a fifth of the time of TensorFlow's own functions, which convert to HSV.
    """
    if not (config.brightness or config.contrast or config.saturation or config.hue):
        return image
    contrast, saturation, hue, brightness = tf.unstack(tf.random.stateless_uniform([4], seed))
    if config.contrast:
        image = tf.image.adjust_contrast(image, between(contrast, 1 - config.contrast, 1 + config.contrast))
    if config.saturation or config.hue:
        matrix = color_matrix(
            between(saturation, 1 - config.saturation, 1 + config.saturation),
            between(hue, -config.hue, config.hue),
        )
        image = tf.reshape(tf.reshape(image, [-1, 3]) @ matrix, image.shape)
    if config.brightness:
        image += 255 * between(brightness, -config.brightness, config.brightness)
    # tf.clip_by_value is two operations, and takes twice as long.
    return tf.raw_ops.ClipByValue(t=image, clip_value_min=0.0, clip_value_max=255.0)
