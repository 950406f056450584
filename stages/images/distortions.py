"""The original distortions of the model zoo's Inception and of retrain.py."""

from __future__ import annotations

from typing import Any

from slimline.stages.backend.tensorflow import tf
from slimline.stages.images.augmentation_config import InceptionConfig, RetrainConfig
from slimline.stages.images.decoding import Box, decode_part
from slimline.stages.images.preprocessing_config import Preprocessing
from slimline.stages.images.views import between, draw_box, mirror

BRIGHTNESS_FIRST, SATURATION_FIRST = ("brightness", "saturation"), ("saturation", "brightness")
ORDERS = {
    True: (BRIGHTNESS_FIRST, SATURATION_FIRST, SATURATION_FIRST, SATURATION_FIRST),
    False: (
        ("brightness", "saturation", "hue", "contrast"),
        ("saturation", "brightness", "contrast", "hue"),
        ("contrast", "hue", "brightness", "saturation"),
        ("hue", "saturation", "contrast", "brightness"),
    ),
}
"""The orders of the zoo's `distort_color`, by `fast`: one of the four is drawn, in fast mode too."""


def inception(encoded: Any, wanted: Preprocessing, config: InceptionConfig, seeds: list[Any]) -> Any:
    """Apply the zoo's `preprocess_for_train` of 2016, when its Inception checkpoints were made: 0 to 255.

    Since 2017, its fast mode doesn't draw the order of the color changes, but always uses the first one.
    """

    def box(size: Any) -> Box:
        return draw_box(size, seeds[0], (0.05, 1.0), (0.75, 1.33), least_covered=0.1)

    image, _ = decode_part(encoded, box, exif=wanted.orientation == "exif")
    flip, method, order, *colors = tf.unstack(tf.random.stateless_uniform([7], seeds[1]))
    side_px = [wanted.input_px, wanted.input_px]

    def resized(method: int) -> Any:
        return tf.cast(tf.compat.v1.image.resize_images(image, side_px, method), tf.float32)

    ways = [lambda way=way: resized(way) for way in range(1 if config.fast else 4)]
    image = tf.switch_case(_choice(method, len(ways)), ways)
    image = mirror(tf.ensure_shape(image, [*side_px, 3]) * (1 / 255), flip)
    orders = [lambda order=order: _distort_colors(image, order, colors) for order in ORDERS[config.fast]]
    return tf.clip_by_value(tf.switch_case(_choice(order, len(orders)), orders), 0.0, 1.0) * 255


def retrain(encoded: Any, wanted: Preprocessing, config: RetrainConfig, seeds: list[Any]) -> Any:
    """Apply retrain.py's `add_input_distortions`: the whole image is resized to a square, and a box of it is kept.

    As in retrain.py, a brighter image isn't clipped: values go up to 255 + 2.55 `random_brightness`.
    """
    image, _ = decode_part(encoded, lambda size: (0, 0, size[0], size[1]), exif=wanted.orientation == "exif")
    flip, scale, top, left, brightness = tf.unstack(tf.random.stateless_uniform([5], seeds[1]))
    scale = (1 + config.random_crop / 100) * between(scale, 1, 1 + config.random_scale / 100)
    side_px = tf.cast(scale * wanted.input_px, tf.int32)
    image = tf.compat.v1.image.resize_bilinear(image[None], [side_px, side_px])[0]
    places = side_px - wanted.input_px + 1
    first, second = (tf.cast(draw * tf.cast(places, tf.float32), tf.int32) for draw in (top, left))
    image = image[first : first + wanted.input_px, second : second + wanted.input_px]
    image = tf.ensure_shape(image, [wanted.input_px, wanted.input_px, 3])
    if config.flip_left_right:
        image = mirror(image, flip)
    percent = config.random_brightness
    return image * between(brightness, 1 - percent / 100, 1 + percent / 100) if percent else image


def _choice(draw: Any, count: int) -> Any:
    """Map a draw from [0, 1) to a whole number from 0 to `count` - 1, a scalar int32."""
    return tf.cast(draw * count, tf.int32)


def _distort_colors(image: Any, order: tuple[str, ...], draws: list[Any]) -> Any:
    """Change the colors of an image in [0, 1] as the zoo does, in this order."""
    brightness, saturation, hue, contrast = draws
    changes = {
        "brightness": lambda image: image + between(brightness, -32 / 255, 32 / 255),
        "saturation": lambda image: tf.image.adjust_saturation(image, between(saturation, 0.5, 1.5)),
        "hue": lambda image: tf.image.adjust_hue(image, between(hue, -0.2, 0.2)),
        "contrast": lambda image: tf.image.adjust_contrast(image, between(contrast, 0.5, 1.5)),
    }
    for name in order:
        image = changes[name](image)
    return image
