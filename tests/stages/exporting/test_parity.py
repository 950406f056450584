"""Parity: every photo's name is asked for, whatever the batches, and one that differs is found."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from slimline.stages.data.storing.records import Record, read_records, serialize, write_shard
from slimline.stages.exporting import parity
from slimline.stages.exporting.parity import encoded_photos, latency, measure
from slimline.stages.images import parallel
from slimline.stages.images.batches import padded

CLASSES = 3


class Classifier:
    """Says of bytes what their first one is, modulo the classes; notes how many it gets at once."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, encoded):
        self.sizes.append(len(encoded))
        return np.eye(CLASSES)[[one[0] % CLASSES for one in encoded.numpy()]]


@pytest.fixture
def photos(tmp_path: Path) -> dict[str, int]:
    """Write 75 photos of class 0, and return the class that each one's bytes ask for, by sha256."""
    names = {}
    for shard in range(2):
        examples = []
        for number in range(shard, 75, 2):
            encoded = bytes([number, shard])
            sha256 = hashlib.sha256(encoded).hexdigest()
            names[sha256] = number % CLASSES
            examples.append(serialize(Record(encoded, "jpeg", 0, "ant", 1, 1, b"a.jpg", sha256)))
        write_shard(tmp_path / f"test-{shard:05d}-of-00002.tfrecord", examples)
    return names


@pytest.mark.parametrize(("batch_size", "window"), [(16, 16), (7, 2), (100, 1)])
def test_each_photo_is_named_whatever_the_batches(photos, tmp_path, monkeypatch, batch_size, window):
    monkeypatch.setattr(parallel, "WINDOW", window)
    classify, records = Classifier(), read_records(tmp_path, "test")
    singles = [given for given, *_ in encoded_photos(records.take(5), 1)]
    found = measure(padded(classify, batch_size), encoded_photos(records, batch_size), singles, photos, 2)
    assert found.names == photos
    assert found.flips == []
    assert found.right == 25
    assert found.rate > 0
    assert set(classify.sizes) == {1, batch_size}


def test_photos_that_are_named_otherwise_or_not_at_all_are_listed(photos, tmp_path):
    other, absent = list(photos)[:2]
    wanted = {**photos, other: (photos[other] + 1) % CLASSES, "0" * 64: 0}
    records = read_records(tmp_path, "test")
    singles = [given for given, *_ in encoded_photos(records.take(1), 1)]
    found = measure(Classifier(), encoded_photos(records, 8), singles, wanted, 1)
    assert found.flips == [other, "0" * 64]
    assert found.flipped == 2 / 75
    assert absent in found.names


def test_a_photo_that_is_not_asked_has_the_name_that_is_said(photos, tmp_path):
    records = read_records(tmp_path, "test")
    asked = {sha256 for _, sha256s, _ in encoded_photos(records.take(10), 8) for sha256 in sha256s}
    said = {sha256: (number + 1) % CLASSES for sha256, number in photos.items()}
    single = next(encoded_photos(records, 1))[0]
    found = measure(Classifier(), encoded_photos(records.take(10), 8), [single], photos, 1, said)
    assert found.names == {sha256: photos[sha256] if sha256 in asked else said[sha256] for sha256 in photos}
    assert set(found.flips) == set(photos) - asked


def test_latency_leaves_the_first_call_out(monkeypatch):
    times = iter(range(1000))
    monkeypatch.setattr(parity.time, "perf_counter", lambda: next(times) ** 2)
    calls = []
    median, slowest = latency(calls.append, ["a", "b", "c"])
    assert calls == ["a", "a", "b", "c"]
    # The clock's squares are 1, 5 and 9 apart.
    assert median == 5
    assert slowest == pytest.approx(8.6)
