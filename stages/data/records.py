"""TFRecords in the schema of the TF-Slim model zoo: writing shards and reading them back."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from stages.tensorflow import tf

FORMATS = {b"\xff\xd8\xff": "jpeg", b"\x89PNG": "png", b"GIF8": "gif", b"BM": "bmp", b"RIFF": "webp"}


class Record(NamedTuple):
    """One labelled photo, as a shard holds it."""

    encoded: bytes
    label: int
    text: str
    height: int
    width: int
    filename: str
    sha256: str


def image_format(encoded: bytes) -> str:
    """Name an image's format by its first bytes, or return an empty string."""
    return next((name for magic, name in FORMATS.items() if encoded.startswith(magic)), "")


def decoded_size(encoded: bytes) -> tuple[int, int]:
    """Decode a whole image to prove that it can be, and return its height and width in pixels.

    A JPEG's every coefficient is read, but only one in 64 becomes a pixel: that takes half the time.

    Raises:
        tf.errors.InvalidArgumentError: it is damaged, or no JPEG, PNG, GIF or BMP.
    """
    if image_format(encoded) != "jpeg":
        height, width, _ = tf.io.decode_image(encoded, channels=3, expand_animations=False).shape
        return height, width
    tf.io.decode_jpeg(encoded, channels=3, ratio=8)
    height, width, _ = tf.io.extract_jpeg_shape(encoded).numpy().tolist()
    return height, width


def serialize(record: Record) -> bytes:
    """Write a record as a `tf.train.Example` under the zoo's feature keys."""

    def raw(value: bytes) -> Any:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    def whole(value: int) -> Any:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

    feature = {
        "image/encoded": raw(record.encoded),
        "image/format": raw(image_format(record.encoded).encode()),
        "image/class/label": whole(record.label),
        "image/class/text": raw(record.text.encode()),
        "image/height": whole(record.height),
        "image/width": whole(record.width),
        "image/filename": raw(record.filename.encode("utf-8", "surrogateescape")),
        "image/key/sha256": raw(record.sha256.encode()),
    }
    example: bytes = tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString(deterministic=True)
    return example


def write_shard(path: Path, examples: Iterable[bytes]) -> None:
    """Write serialised examples as one TFRecord file, checksums included."""
    with tf.io.TFRecordWriter(str(path)) as writer:
        for example in examples:
            writer.write(example)


def shard_paths(folder: Path, split: str) -> list[Path]:
    """List a split's shards in order."""
    return sorted(folder.glob(f"{split}-*.tfrecord"))


def read_records(folder: Path, split: str) -> Any:
    """Read a split back, in order: a dataset of `encoded`, `filename`, `sha256` (strings) and `label` (int64)."""
    spec = {
        "image/encoded": tf.io.FixedLenFeature([], tf.string),
        "image/class/label": tf.io.FixedLenFeature([], tf.int64),
        "image/filename": tf.io.FixedLenFeature([], tf.string),
        "image/key/sha256": tf.io.FixedLenFeature([], tf.string),
    }

    @tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]  # TensorFlow carries no types
    def parse(example: Any) -> dict[str, Any]:
        parsed = tf.io.parse_single_example(example, spec)
        return {name.rpartition("/")[2]: value for name, value in parsed.items()}

    return tf.data.TFRecordDataset([str(path) for path in shard_paths(folder, split)]).map(parse)
