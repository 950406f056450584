"""From encoded bytes to what a network takes, in the graph.

The one path for features, evaluation, export and classify, so that a model behaves outside as it did inside.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Any

from slimline.stages.images.decoding import Box, decode_part


class Crop(Enum):
    """Which part of a photo a network sees: see `Preprocessing`."""

    square = "square"
    each_side = "each_side"
    vgg = "vgg"
    whole = "whole"


class Resize(Enum):
    """How the crop becomes the input: see `Preprocessing`."""

    bicubic = "bicubic"
    legacy_bilinear = "legacy_bilinear"


class Orientation(Enum):
    """Whether a JPEG is turned as its EXIF header says."""

    exif = "exif"
    ignore = "ignore"


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How a network wants its images: upright, cropped, resized to a square, then (x - offset) / scale, x in 0 to 255.

    `crop` says what is kept of [height, width]:
    - `square`: in the middle, a square of `crop_fraction` of the shorter side (EfficientNet-Lite).
    - `each_side`: `crop_fraction` of the height and of the width (the zoo's inception_preprocessing).
    - `vgg`: the image is resized, in its proportions, to a shorter side of `input_px / crop_fraction` (256 for 224,
      at the default), and `input_px` square is cut from its middle (the zoo's vgg_preprocessing).
    - `whole`: everything.

    `resize` is `bicubic`, or `legacy_bilinear`: TensorFlow 1's, without half-pixel centres. `offset` is one number or
    three (RGB). `orientation` is `exif`, to heed what a JPEG says of its camera, or `ignore`.

    Raises:
        ValueError: a value isn't allowed.
    """

    input_px: int
    crop: str = "square"
    crop_fraction: float = 0.875
    resize: str = "bicubic"
    offset: float | tuple[float, ...]
    scale: float
    orientation: str = "exif"

    def __post_init__(self) -> None:
        if isinstance(self.offset, list | tuple):
            object.__setattr__(self, "offset", tuple(self.offset))  # JSON gives a list
        offsets = self.offset if isinstance(self.offset, tuple) else (self.offset,)
        _require_one_of("crop", self.crop, Crop)
        _require_one_of("resize", self.resize, Resize)
        _require_one_of("orientation", self.orientation, Orientation)
        if isinstance(self.input_px, bool) or not isinstance(self.input_px, int) or self.input_px < 1:
            raise ValueError(f"input_px={self.input_px!r}: a whole number of pixels from 1 up is allowed.")
        if not _is_number(self.crop_fraction) or not 0 < self.crop_fraction <= 1:
            raise ValueError(f"crop_fraction={self.crop_fraction!r}: a number above 0, up to 1, is allowed.")
        if len(offsets) not in (1, 3) or not all(map(_is_number, offsets)):
            raise ValueError(f"offset={self.offset!r}: one number is allowed, or three (red, green, blue).")
        if not _is_number(self.scale) or self.scale <= 0:
            raise ValueError(f"scale={self.scale!r}: a number above 0 is allowed.")
        if self.crop == "vgg" and self.resize != "legacy_bilinear":
            raise ValueError(f"resize={self.resize!r}: with crop='vgg', 'legacy_bilinear' alone is allowed.")


def preprocess(encoded: Any, wanted: Preprocessing) -> Any:
    """Decode one image and make it ready: [input_px, input_px, 3] float32.

    `encoded` is a scalar string: JPEG, PNG, GIF (its first frame) or BMP.
    """
    image, size = decode_part(encoded, lambda size: _crop_box(size, wanted), exif=wanted.orientation == "exif")
    image = _resize(image, size, wanted)
    return (image - wanted.offset) * (1 / wanted.scale)  # a division would be rewritten so, in some graphs only


def preprocess_batch(encoded: Any, wanted: Preprocessing) -> Any:
    """Make a batch of encoded images ready: [batch] strings to [batch, input_px, input_px, 3] float32."""
    from slimline.stages.backend.tensorflow import tf

    shape = tf.TensorSpec([wanted.input_px, wanted.input_px, 3], tf.float32)
    return tf.map_fn(lambda one: preprocess(one, wanted), encoded, fn_output_signature=shape, parallel_iterations=16)


def _require_one_of(name: str, value: str, allowed: type[Enum]) -> None:
    values = [one.value for one in allowed]
    if value not in values:
        raise ValueError(f"{name}={value!r}: allowed are {', '.join(values)}.")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _crop_box(size: Any, wanted: Preprocessing) -> Box:
    """Return what is needed of an image of `size` (height, width): top, left, height, width."""
    from slimline.stages.backend.tensorflow import tf

    if wanted.crop == "whole":
        return tf.constant(0), tf.constant(0), size[0], size[1]
    if wanted.crop == "square":
        side = tf.cast(tf.cast(tf.minimum(size[0], size[1]), tf.float32) * wanted.crop_fraction, tf.int32)
        side = tf.maximum(side, 1)
        return (size[0] - side) // 2, (size[1] - side) // 2, side, side
    if wanted.crop == "each_side":  # as `tf.image.central_crop` rounds
        exact = tf.cast(size, tf.float64)
        start = tf.cast((exact - exact * wanted.crop_fraction) / 2, tf.int32)
        kept = size - 2 * start
        return start[0], start[1], kept[0], kept[1]
    (top, bottom, _), (left, right, _) = (_vgg_samples(size, axis, wanted) for axis in (0, 1))
    return top[0], left[0], bottom[-1] + 1 - top[0], right[-1] + 1 - left[0]


def _resize(image: Any, size: Any, wanted: Preprocessing) -> Any:
    """Resize what `_crop_box` kept of an image of `size` to [input_px, input_px, 3] float32."""
    from slimline.stages.backend.tensorflow import tf

    square_px = [wanted.input_px, wanted.input_px]
    if wanted.resize == "bicubic":
        return tf.image.resize(image, square_px, method="bicubic")
    if wanted.crop != "vgg":
        return tf.compat.v1.image.resize_bilinear(image[None], square_px)[0]
    (top, bottom, down), (left, right, across) = (_vgg_samples(size, axis, wanted) for axis in (0, 1))
    rows = tf.gather(image, tf.stack([top, bottom]) - top[0])
    first, second = (tf.cast(tf.gather(rows, at - left[0], axis=2), tf.float32) for at in (left, right))
    above, below = tf.unstack(first + (second - first) * across[:, None])
    # The bound changes nothing. It keeps the graph's optimizer from moving the offset in between, in some graphs only.
    return tf.minimum(above + (below - above) * down[:, None, None], 255.0)


def _vgg_samples(size: Any, axis: int, wanted: Preprocessing) -> tuple[Any, Any, Any]:
    """Return where the pixels that the zoo resizes and then crops come from, along one axis: [input_px] each.

    These are the first and the second source pixel (int32), and the second's weight. To resize the whole and
    crop afterwards, as the zoo does, would take 4 GB for an image of 5,000 by 1 pixels.
    """
    from slimline.stages.backend.tensorflow import tf

    length = tf.cast(size[axis], tf.float32)
    shorter_px = round(wanted.input_px / wanted.crop_fraction)
    resized = tf.math.rint(length * (shorter_px / tf.cast(tf.reduce_min(size), tf.float32)))
    start = (tf.cast(resized, tf.int32) - wanted.input_px) // 2
    position = tf.cast(start + tf.range(wanted.input_px), tf.float32) * (length / resized)
    first = tf.floor(position)
    first_px = tf.cast(first, tf.int32)
    return first_px, tf.minimum(first_px + 1, size[axis] - 1), position - first
