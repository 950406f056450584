"""Preprocessing in the graph: from encoded bytes to a network's input.

Features, evaluation, export and classify all use it, so that an exported model gives the same results.
"""

from __future__ import annotations

from typing import Any

from slimline.stages.backend.tensorflow import tf
from slimline.stages.images.decoding import Box, decode_part
from slimline.stages.images.preprocessing_config import Preprocessing


def preprocess(encoded: Any, wanted: Preprocessing) -> Any:
    """Decode and preprocess one image: [input_px, input_px, 3] float32.

    `encoded` is a scalar string: JPEG, PNG, GIF (its first frame) or BMP.
    """
    image, size = decode_part(encoded, lambda size: _crop_box(size, wanted), exif=wanted.orientation == "exif")
    image = _resize(image, size, wanted)
    return (image - wanted.offset) * (1 / wanted.scale)  # some graphs, but not all, would rewrite a division like this


def preprocess_batch(encoded: Any, wanted: Preprocessing) -> Any:
    """Preprocess a batch of encoded images: [batch] strings to [batch, input_px, input_px, 3] float32."""
    shape = tf.TensorSpec([wanted.input_px, wanted.input_px, 3], tf.float32)
    return tf.map_fn(lambda one: preprocess(one, wanted), encoded, fn_output_signature=shape, parallel_iterations=16)


def _crop_box(size: Any, wanted: Preprocessing) -> Box:
    """Return the box that is needed of an image of `size` (height, width): top, left, height, width."""
    if wanted.crop == "whole":
        return tf.constant(0), tf.constant(0), size[0], size[1]
    if wanted.crop == "square":
        side = tf.cast(tf.cast(tf.minimum(size[0], size[1]), tf.float32) * wanted.crop_fraction, tf.int32)
        side = tf.maximum(side, 1)
        return (size[0] - side) // 2, (size[1] - side) // 2, side, side
    if wanted.crop == "each_side":  # rounded as in `tf.image.central_crop`
        exact = tf.cast(size, tf.float64)
        start = tf.cast((exact - exact * wanted.crop_fraction) / 2, tf.int32)
        kept = size - 2 * start
        return start[0], start[1], kept[0], kept[1]
    (top, bottom, _), (left, right, _) = (_vgg_samples(size, axis, wanted) for axis in (0, 1))
    return top[0], left[0], bottom[-1] + 1 - top[0], right[-1] + 1 - left[0]


def _resize(image: Any, size: Any, wanted: Preprocessing) -> Any:
    """Resize what `_crop_box` kept of an image of `size` to [input_px, input_px, 3] float32."""
    square_px = [wanted.input_px, wanted.input_px]
    if wanted.resize == "bicubic":
        return tf.image.resize(image, square_px, method="bicubic")
    if wanted.crop != "vgg":
        return tf.compat.v1.image.resize_bilinear(image[None], square_px)[0]
    (top, bottom, down), (left, right, across) = (_vgg_samples(size, axis, wanted) for axis in (0, 1))
    rows = tf.gather(image, tf.stack([top, bottom]) - top[0])
    first, second = (tf.cast(tf.gather(rows, at - left[0], axis=2), tf.float32) for at in (left, right))
    above, below = tf.unstack(first + (second - first) * across[:, None])
    # The bound changes nothing. Without it, the graph optimizer would move the offset to here, in some graphs only.
    return tf.minimum(above + (below - above) * down[:, None, None], 255.0)


def _vgg_samples(size: Any, axis: int, wanted: Preprocessing) -> tuple[Any, Any, Any]:
    """Return the sources of the pixels of the zoo's resized and cropped image, along one axis: [input_px] each.

    These are the first and the second source pixel (int32), and the second's weight. To resize the whole image and
    then crop it, as the zoo does, would take 4 GB for an image of 5,000 by 1 pixels.
    """
    length = tf.cast(size[axis], tf.float32)
    shorter_px = round(wanted.input_px / wanted.crop_fraction)
    resized = tf.math.rint(length * (shorter_px / tf.cast(tf.reduce_min(size), tf.float32)))
    start = (tf.cast(resized, tf.int32) - wanted.input_px) // 2
    position = tf.cast(start + tf.range(wanted.input_px), tf.float32) * (length / resized)
    first = tf.floor(position)
    first_px = tf.cast(first, tf.int32)
    return first_px, tf.minimum(first_px + 1, size[axis] - 1), position - first
