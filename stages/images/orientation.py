"""EXIF orientation, read from a JPEG's header in the graph, and images turned upright."""

from __future__ import annotations

from typing import Any

from slimline.stages.backend.tensorflow import tf

EXIF_WORDS = (0xFFE1, 0x4578, 0x6966, 0x0000)
"""The marker APP1, and "Exif" with its two zeros, as big-endian numbers of two bytes."""
START_OF_IMAGE = b"\xff\xd8"
LITTLE_ENDIAN, BIG_ENDIAN = b"II*\0", b"MM\0*"
ORIENTATION_TAG, SHORT = 0x0112, 3
TIFF_HEADER_BYTES, ENTRY_BYTES = 8, 12
MOST_SEGMENTS = 1000


def may_hold_exif(encoded: Any) -> Any:
    """Return whether a JPEG, a scalar string, has a place where Exif could begin: a scalar bool.

    Reading the segments takes 10% of the time of decoding and resizing, this check 4% (flower photos, two cores), and
    for nine photos in ten it is enough. APP1 can't occur by chance in pixel data: there 0xFF precedes 0 or a restart.
    """
    values = tf.io.decode_raw(encoded, tf.uint8)
    return tf.reduce_any((values[:-1] == 0xFF) & (values[1:] == 0xE1))


def read_orientation(encoded: Any) -> Any:
    """Read the EXIF orientation of an encoded image, a scalar string: a scalar int32, 1 to 8.

    It is 1 (upright) unless a JPEG's first Exif segment is well-formed and says otherwise; damage is not an error.
    Source: JPEG (ITU T.81), annex B; Exif 2.3 (JEITA CP-3451C), 4.5.4 and 4.6.4; TIFF 6.0, section 2.
    """
    exif = _find_exif(encoded)
    return tf.cond(tf.strings.length(exif) > 0, lambda: _read_tiff(exif), lambda: tf.constant(1))


def upright(image: Any, orientation: Any) -> Any:
    """Turn an image [height, width, channels] upright, by its EXIF orientation, a scalar int32, 1 to 8.

    Orientations from 5 on swap height and width.
    """
    image = tf.cond(orientation >= 5, lambda: tf.transpose(image, [1, 0, 2]), lambda: image)
    upside_down = tf.reduce_any(orientation == [3, 4, 7, 8])
    mirrored = tf.reduce_any(orientation == [2, 3, 6, 7])
    return tf.raw_ops.Reverse(tensor=image, dims=tf.stack([upside_down, mirrored, False]))


def _find_exif(encoded: Any) -> Any:
    """Read a JPEG's header by segments; return the content of the first Exif segment, or an empty string."""
    length = tf.strings.length(encoded)
    start = tf.where(tf.strings.substr(encoded, 0, 2) == START_OF_IMAGE, len(START_OF_IMAGE), length)

    def step(position: Any, tiff: Any, tiff_bytes: Any) -> tuple[Any, Any, Any]:
        raw = tf.strings.substr(encoded, position, 10)
        words = tf.cast(tf.io.decode_raw(raw, tf.uint16, fixed_length=10, little_endian=False), tf.int32)
        marker, size = words[0], words[1]
        found = tf.reduce_all(tf.gather(words, [0, 2, 3, 4]) == EXIF_WORDS)
        sized = ((marker >= 0xFFDB) | (marker // 16 == 0xFFC)) & (size >= 2) & ~found
        onward = tf.where(marker == 0xFFFF, 1, tf.where(sized, size + 2, length))
        return position + onward, tf.where(found, position + 10, tiff), tf.where(found, size - 8, tiff_bytes)

    _, tiff, tiff_bytes = tf.while_loop(
        lambda position, *_: position < length,
        step,
        (start, length, tf.constant(0)),
        maximum_iterations=MOST_SEGMENTS,
    )
    return tf.strings.substr(encoded, tf.minimum(tiff, length), tf.maximum(tiff_bytes, 0))


def _read_tiff(tiff: Any) -> Any:
    """Return the orientation in the first directory of a TIFF structure, a scalar int32; 1 if damaged."""
    length = tf.strings.length(tiff)
    order = tf.strings.substr(tiff, 0, 4)
    ordered = (order == LITTLE_ENDIAN) | (order == BIG_ENDIAN)

    def numbers(at: Any, kind: Any) -> Any:
        """Read the numbers that start at these bytes, as int32; bytes past the end are zeros."""
        raw = tf.strings.substr(tiff, at, tf.fill(tf.shape(at), kind.size))
        little = tf.io.decode_raw(raw, kind, fixed_length=kind.size)
        big = tf.io.decode_raw(raw, kind, fixed_length=kind.size, little_endian=False)
        return tf.cast(tf.where(order == LITTLE_ENDIAN, little, big)[..., 0], tf.int32)

    directory = numbers(tf.minimum(4, length), tf.int32)
    inside = ordered & (directory >= TIFF_HEADER_BYTES) & (directory <= length - 2)
    directory = tf.where(inside, directory, 0)
    count = numbers(directory, tf.uint16)
    inside &= directory + 2 + count * ENTRY_BYTES <= length
    entries = directory + 2 + tf.range(tf.where(inside, count, 0)) * ENTRY_BYTES
    value = numbers(entries + 8, tf.uint16)
    valid = (numbers(entries, tf.uint16) == ORIENTATION_TAG) & (numbers(entries + 2, tf.uint16) == SHORT)
    valid &= (numbers(entries + 4, tf.int32) == 1) & (value <= 8)
    return tf.maximum(tf.reduce_max(tf.where(valid, value, 1)), 1)
