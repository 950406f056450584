"""Records: TensorFlow reads exactly the bytes that are serialized without it."""

from __future__ import annotations

import hashlib
import os

import pytest

from slimline.stages.backend.tensorflow import tf
from slimline.stages.data.storing.records import Record, read_record, read_records, serialize, shard_paths, write_shard
from slimline.stages.data.storing.shards import record_lengths

SIZES = (0, 1, 127, 128, 16_383, 16_384, 2**21)


def record(size: int, name: bytes = b"ant/1.jpg") -> Record:
    encoded = os.urandom(size)
    return Record(encoded, "jpeg", 7, "Ämeise", 480, 640, name, hashlib.sha256(encoded).hexdigest())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", [b"ant/1.jpg", b"ant/\xff\n.jpg"])
def test_a_parsed_record_equals_the_written_one(size, name):
    put = record(size, name)
    serialized = serialize(put)
    feature = tf.train.Example.FromString(serialized).features.feature
    texts = {key: value.bytes_list.value[0] for key, value in feature.items() if value.bytes_list.value}
    numbers = {key: value.int64_list.value[0] for key, value in feature.items() if value.int64_list.value}
    assert numbers == {"image/class/label": 7, "image/height": 480, "image/width": 640}
    assert texts == {
        "image/encoded": put.encoded,
        "image/format": b"jpeg",
        "image/class/text": "Ämeise".encode(),
        "image/filename": name,
        "image/key/sha256": put.sha256.encode(),
    }
    spec = {key: tf.io.FixedLenFeature([], tf.string) for key in texts}
    spec |= {key: tf.io.FixedLenFeature([], tf.int64) for key in numbers}
    parsed = tf.io.parse_single_example(serialized, spec)
    assert {key: value.numpy() for key, value in parsed.items()} == {**texts, **numbers}


def test_a_record_has_the_size_that_tensorflow_writes():
    serialized = serialize(record(1000))
    again = tf.train.Example.FromString(serialized).SerializeToString()
    assert len(again) == len(serialized)


def test_records_are_found_by_their_place_and_in_order(tmp_path):
    put = [record(size, str(size).encode()) for size in SIZES]
    path = tmp_path / "train-00000-of-00001.tfrecord"
    write_shard(path, map(serialize, put))
    lengths = list(record_lengths(path))
    assert sum(lengths) == path.stat().st_size
    for number, one in enumerate(put):
        feature = read_record(tmp_path, path.name, sum(lengths[:number]), lengths[number])
        assert feature["image/encoded"].bytes_list.value[0] == one.encoded
        assert feature["image/filename"].bytes_list.value[0] == one.filename
    found = list(read_records(tmp_path, "train").as_numpy_iterator())
    assert [(one["encoded"], one["label"], one["filename"], one["sha256"].decode()) for one in found] == [
        (one.encoded, 7, one.filename, one.sha256) for one in put
    ]


def test_shards_are_listed_in_order_and_by_split(tmp_path):
    for name in ("train-00001-of-00002", "test-00000-of-00001", "train-00000-of-00002"):
        write_shard(tmp_path / f"{name}.tfrecord", [])
    (tmp_path / ".train-00002-of-00002.tfrecord.tmp").touch()
    found = [path.name for path in shard_paths(tmp_path, "train")]
    assert found == ["train-00000-of-00002.tfrecord", "train-00001-of-00002.tfrecord"]


@pytest.mark.parametrize("at", [3, 10, 40, 500, -2])
def test_a_flipped_byte_raises(tmp_path, at):
    path = tmp_path / "train-00000-of-00001.tfrecord"
    write_shard(path, [serialize(record(600))])
    damaged = bytearray(path.read_bytes())
    damaged[at] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(tf.errors.DataLossError):
        list(read_records(tmp_path, "train"))


def test_a_split_without_photos_has_no_records(tmp_path):
    assert list(read_records(tmp_path, "test")) == []
