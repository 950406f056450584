"""Photos varied for training, each draw decided by (seed, image, epoch) alone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from slimline.stages.backend.tensorflow import tf
from slimline.stages.images.augmentation_config import (
    AugmentationConfig,
    CropConfig,
    InceptionConfig,
    RandAugmentConfig,
    RetrainConfig,
    ViewConfig,
)
from slimline.stages.images.decoding import Box, decode_part
from slimline.stages.images.preprocessing import preprocess
from slimline.stages.images.preprocessing_config import Preprocessing
from slimline.stages.images.randaugment import rand_augment

LUMA = (0.299, 0.587, 0.114)
"""Grey, of red, green and blue: ITU-R BT.601."""
YIQ = (LUMA, (0.595716, -0.274453, -0.321263), (0.211456, -0.522591, 0.311135))
"""Grey and two colour differences, of red, green and blue: NTSC's."""
ATTEMPTS = 100
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
"""The zoo's `distort_color`, by `fast`: one order of four is drawn, in fast mode too."""


def augment(encoded: Any, wanted: Preprocessing, config: AugmentationConfig, seed: Any) -> Any:
    """Decode one image, vary it as `config` says and make it ready: [input_px, input_px, 3] float32.

    `encoded` is a scalar string, as `preprocess` takes; `seed`, [2] int32, decides every draw. What a view keeps is
    resized as the network's own preprocessing resizes; its own crop gives way.

    Raises:
        TypeError: the config is none of those that `AUGMENTATIONS` lists.
    """
    if type(config) is AugmentationConfig:
        return preprocess(encoded, wanted)
    seeds = tf.unstack(tf.random.split(seed, 3))
    if isinstance(config, CropConfig):
        image = _recolour(_view(encoded, wanted, config, seeds), config, seeds[2])
    elif isinstance(config, RandAugmentConfig):
        image = rand_augment(_view(encoded, wanted, config, seeds), config.layers, config.magnitude, seeds[2])
    elif isinstance(config, InceptionConfig):
        image = _inception(encoded, wanted, config, seeds)
    elif isinstance(config, RetrainConfig):
        image = _retrain(encoded, wanted, config, seeds)
    else:
        raise TypeError(f"{type(config).__name__} is no augmentation")
    # Subtracted row by row, three numbers take a quarter of the time that they take pixel by pixel.
    offset = np.broadcast_to(np.asarray(wanted.offset, np.float32), (wanted.input_px, 3))
    return (image - offset) * (1 / wanted.scale)


def image_seed(seed: int, image: Any, epoch: Any) -> Any:
    """Return the seed of an image's draws in an epoch, [2] int32: `image` is a scalar int64, `epoch` any integer.

    All 64 bits are mixed at each step: from 32, two of 80,000 images would be likely to share their draws.
    """
    words = tf.bitcast(tf.constant((seed + 2**63) % 2**64 - 2**63, tf.int64), tf.int32)
    for number in (image, epoch):
        mixed = tf.random.split(words, 1)[0]
        words = tf.bitwise.bitwise_xor(mixed, tf.bitcast(tf.cast(number, tf.int64), tf.int32))
    return words


def draw_box(
    size: Any, seed: Any, area: tuple[float, float], aspect: tuple[float, float], least_covered: float = 0.0
) -> Box:
    """Draw a box in an image of `size` (height, width) by TensorFlow's sample_distorted_bounding_box.

    The aspect (width over height) is uniform in its range, then the height in what the area's range allows. The box
    is the whole image where none fits in 100 attempts: where the image itself is far longer than wide, or wider.
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


def colour_matrix(saturation: Any, hue: Any) -> Any:
    """Return the matrix [3, 3] that a row (red, green, blue) is multiplied by, to change its saturation and hue.

    `saturation` is a factor of the distance from the pixel's grey; `hue` an angle in turns about the grey axis, in
    YIQ. Greys stay as they are, and so does every pixel's luma.
    """
    to_yiq = tf.constant(YIQ)
    cosine, sine = saturation * tf.cos(2 * math.pi * hue), saturation * tf.sin(2 * math.pi * hue)
    turn = tf.reshape(tf.stack([1.0, 0.0, 0.0, 0.0, cosine, -sine, 0.0, sine, cosine]), [3, 3])
    return tf.transpose(tf.linalg.inv(to_yiq) @ turn @ to_yiq)


def _view(encoded: Any, wanted: Preprocessing, config: ViewConfig, seeds: list[Any]) -> Any:
    """Return a random box, resized and perhaps mirrored: [input_px, input_px, 3] float32, about 0 to 255."""

    def box(size: Any) -> Box:
        return draw_box(size, seeds[0], (config.min_area, config.max_area), (config.aspect_min, config.aspect_max))

    image, _ = decode_part(encoded, box, exif=wanted.orientation == "exif")
    side_px = [wanted.input_px, wanted.input_px]
    if wanted.resize == "bicubic":
        image = tf.image.resize(image, side_px, method="bicubic")
    else:
        image = tf.compat.v1.image.resize_bilinear(image[None], side_px)[0]
    return _mirror(image, tf.random.stateless_uniform([], seeds[1])) if config.flip else image


def _mirror(image: Any, draw: Any) -> Any:
    """Mirror an image left to right where a draw from [0, 1) is below a half."""
    return tf.raw_ops.Reverse(tensor=image, dims=tf.stack([False, draw < 0.5, False]))


def _between(draw: Any, low: float, high: float) -> Any:
    return low + (high - low) * draw


def _recolour(image: Any, config: CropConfig, seed: Any) -> Any:
    """Change an image's contrast, saturation, hue and brightness: still 0 to 255, clipped once, at the end.

    Until then all are linear, so their order changes nothing, and saturation and hue are one multiplication: a fifth
    of what TensorFlow's own, by way of HSV, takes.
    """
    if not (config.brightness or config.contrast or config.saturation or config.hue):
        return image
    contrast, saturation, hue, brightness = tf.unstack(tf.random.stateless_uniform([4], seed))
    if config.contrast:
        image = tf.image.adjust_contrast(image, _between(contrast, 1 - config.contrast, 1 + config.contrast))
    if config.saturation or config.hue:
        matrix = colour_matrix(
            _between(saturation, 1 - config.saturation, 1 + config.saturation),
            _between(hue, -config.hue, config.hue),
        )
        image = tf.reshape(tf.reshape(image, [-1, 3]) @ matrix, image.shape)
    if config.brightness:
        image += 255 * _between(brightness, -config.brightness, config.brightness)
    # tf.clip_by_value is two operations, and takes twice as long.
    return tf.raw_ops.ClipByValue(t=image, clip_value_min=0.0, clip_value_max=255.0)


def _inception(encoded: Any, wanted: Preprocessing, config: InceptionConfig, seeds: list[Any]) -> Any:
    """Do as the zoo's `preprocess_for_train` did in 2016, when its Inception checkpoints were made: 0 to 255.

    Since 2017 its fast mode draws no order of the colour changes, and takes the first.
    """

    def box(size: Any) -> Box:
        return draw_box(size, seeds[0], (0.05, 1.0), (0.75, 1.33), least_covered=0.1)

    image, _ = decode_part(encoded, box, exif=wanted.orientation == "exif")
    flip, method, order, *colours = tf.unstack(tf.random.stateless_uniform([7], seeds[1]))
    side_px = [wanted.input_px, wanted.input_px]

    def resized(method: int) -> Any:
        return tf.cast(tf.compat.v1.image.resize_images(image, side_px, method), tf.float32)

    ways = [lambda way=way: resized(way) for way in range(1 if config.fast else 4)]
    image = tf.switch_case(_choice(method, len(ways)), ways)
    image = _mirror(tf.ensure_shape(image, [*side_px, 3]) * (1 / 255), flip)
    orders = [lambda order=order: _distort_colours(image, order, colours) for order in ORDERS[config.fast]]
    return tf.clip_by_value(tf.switch_case(_choice(order, len(orders)), orders), 0.0, 1.0) * 255


def _choice(draw: Any, count: int) -> Any:
    """Turn a draw from [0, 1) into one of `count` numbers from 0, a scalar int32."""
    return tf.cast(draw * count, tf.int32)


def _distort_colours(image: Any, order: tuple[str, ...], draws: list[Any]) -> Any:
    """Change the colours of an image in [0, 1] as the zoo does, in this order."""
    brightness, saturation, hue, contrast = draws
    changes = {
        "brightness": lambda image: image + _between(brightness, -32 / 255, 32 / 255),
        "saturation": lambda image: tf.image.adjust_saturation(image, _between(saturation, 0.5, 1.5)),
        "hue": lambda image: tf.image.adjust_hue(image, _between(hue, -0.2, 0.2)),
        "contrast": lambda image: tf.image.adjust_contrast(image, _between(contrast, 0.5, 1.5)),
    }
    for name in order:
        image = changes[name](image)
    return image


def _retrain(encoded: Any, wanted: Preprocessing, config: RetrainConfig, seeds: list[Any]) -> Any:
    """Do as retrain.py's `add_input_distortions`: the whole image is squeezed to a square, and a box of it is kept.

    As there, a brighter image isn't clipped: values go up to 255 + 2.55 `random_brightness`.
    """
    image, _ = decode_part(encoded, lambda size: (0, 0, size[0], size[1]), exif=wanted.orientation == "exif")
    flip, scale, top, left, brightness = tf.unstack(tf.random.stateless_uniform([5], seeds[1]))
    scale = (1 + config.random_crop / 100) * _between(scale, 1, 1 + config.random_scale / 100)
    side_px = tf.cast(scale * wanted.input_px, tf.int32)
    image = tf.compat.v1.image.resize_bilinear(image[None], [side_px, side_px])[0]
    places = side_px - wanted.input_px + 1
    first, second = (tf.cast(draw * tf.cast(places, tf.float32), tf.int32) for draw in (top, left))
    image = image[first : first + wanted.input_px, second : second + wanted.input_px]
    image = tf.ensure_shape(image, [wanted.input_px, wanted.input_px, 3])
    if config.flip_left_right:
        image = _mirror(image, flip)
    percent = config.random_brightness
    return image * _between(brightness, 1 - percent / 100, 1 + percent / 100) if percent else image
