"""Decode a part of an encoded image in the graph; of a JPEG, only what that part needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slimline.stages.backend.tensorflow import tf
from slimline.stages.images.orientation import may_hold_exif, read_orientation, upright

CHROMA_MARGIN_PX = 2

Box = tuple[Any, Any, Any, Any]
"""Top, left, height and width in pixels, scalar int32 each."""


def decode_part(encoded: Any, box: Callable[[Any], Box], *, exif: bool) -> tuple[Any, Any]:
    """Decode a part of one image: its pixels [height, width, 3] uint8, and the whole image's size [2] int32.

    `encoded` is a scalar string: JPEG, PNG, GIF (its first frame) or BMP. `box` returns the part to decode of an image
    of a size (height, width); with `exif`, a JPEG is first turned upright, as its header says. JPEGs that are upright
    are decoded and cropped in one operation.
    """
    is_jpeg = tf.io.is_jpeg(encoded)

    def cropped_jpeg() -> tuple[Any, Any]:
        size = tf.io.extract_jpeg_shape(encoded)[:2]
        return _decode_box(encoded, size, box(size)), size

    def turned(orientation: Any) -> tuple[Any, Any]:
        image = upright(tf.io.decode_image(encoded, channels=3, expand_animations=False), orientation)
        size = tf.shape(image)[:2]
        top, left, height, width = box(size)
        return image[top : top + height, left : left + width], size

    # TensorFlow visits every operation of a branch that isn't taken, except in a function that isn't inlined.
    @tf.function(autograph=False, experimental_attributes={"_noinline": True})  # type: ignore[untyped-decorator]
    def otherwise() -> tuple[Any, Any]:
        orientation = read_orientation(encoded) if exif else tf.constant(1)
        result: tuple[Any, Any] = tf.cond(is_jpeg & (orientation == 1), cropped_jpeg, lambda: turned(orientation))
        return result

    plain = is_jpeg & ~may_hold_exif(encoded) if exif else is_jpeg
    image, size = tf.cond(plain, cropped_jpeg, otherwise)
    return tf.ensure_shape(image, [None, None, 3]), size


def _decode_box(encoded: Any, size: Any, box: Box) -> Any:
    top, left, height, width = box
    # If color has fewer columns than brightness, the outermost pixels need a neighbor on either side: without it,
    # they are wrong by up to 30 of 255.
    first = tf.maximum(left - CHROMA_MARGIN_PX, 0)
    end = tf.minimum(left + width + CHROMA_MARGIN_PX, size[1])
    image = tf.io.decode_and_crop_jpeg(encoded, tf.stack([top, first, height, end - first]), channels=3)
    return image[:, left - first : left - first + width]
