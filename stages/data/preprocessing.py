"""From encoded bytes to what a network takes, in the graph.

The one path for features, evaluation, export and classify, so that a model behaves outside as it did inside.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Preprocessing:
    """How a network wants its images: a central square crop, a bicubic resize, then (x - offset) / scale.

    `crop_fraction` is of the shorter side.
    """

    input_px: int
    crop_fraction: float
    offset: float
    scale: float


def preprocess(encoded: Any, wanted: Preprocessing) -> Any:
    """Decode one image and make it ready: [input_px, input_px, 3] float32.

    `encoded` is a scalar string: JPEG, PNG, GIF (its first frame) or BMP. JPEGs are decoded and
    cropped in one operation.
    """
    from stages.tensorflow import tf

    def whole() -> Any:
        image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
        top, left, side = _central_square(tf.shape(image), wanted.crop_fraction)
        return image[top : top + side, left : left + side]

    def cropped_jpeg() -> Any:
        top, left, side = _central_square(tf.io.extract_jpeg_shape(encoded), wanted.crop_fraction)
        return tf.io.decode_and_crop_jpeg(encoded, tf.stack([top, left, side, side]), channels=3)

    image = tf.cond(tf.io.is_jpeg(encoded), cropped_jpeg, whole)
    image = tf.ensure_shape(image, [None, None, 3])
    image = tf.image.resize(image, [wanted.input_px, wanted.input_px], method="bicubic")
    return (image - wanted.offset) / wanted.scale


def preprocess_batch(encoded: Any, wanted: Preprocessing) -> Any:
    """Make a batch of encoded images ready: [batch] strings to [batch, input_px, input_px, 3] float32."""
    from stages.tensorflow import tf

    shape = tf.TensorSpec([wanted.input_px, wanted.input_px, 3], tf.float32)
    return tf.map_fn(lambda one: preprocess(one, wanted), encoded, fn_output_signature=shape, parallel_iterations=16)


def _central_square(shape: Any, fraction: float) -> tuple[Any, Any, Any]:
    """Place a square of `fraction` of the shorter side in the middle of [height, width, ...]: top, left, side."""
    from stages.tensorflow import tf

    side = tf.cast(tf.cast(tf.minimum(shape[0], shape[1]), tf.float32) * fraction, tf.int32)
    side = tf.maximum(side, 1)
    return (shape[0] - side) // 2, (shape[1] - side) // 2, side
