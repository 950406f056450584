"""Parity: every photo is classified, for any batch size, and the photos whose class differs are found."""

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
    """Classifies bytes by their first one, modulo the number of classes; records the batch sizes."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, encoded):
        self.sizes.append(len(encoded))
        return np.eye(CLASSES)[[one[0] % CLASSES for one in encoded.numpy()]]


@pytest.fixture
def photos(tmp_path: Path) -> dict[str, int]:
    """Write 75 photos of class 0, and return the class that `Classifier` predicts for each, by sha256."""
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
def test_each_photo_is_classified_for_any_batch_size(photos, tmp_path, monkeypatch, batch_size, window):
    monkeypatch.setattr(parallel, "WINDOW", window)
    classify, records = Classifier(), read_records(tmp_path, "test")
    singles = [given for given, *_ in encoded_photos(records.take(5), 1)]
    found = measure(padded(classify, batch_size), encoded_photos(records, batch_size), singles, photos, 2)
    assert found.predicted == photos
    assert found.changed == []
    assert found.right == 25
    assert found.rate > 0
    assert set(classify.sizes) == {1, batch_size}


def test_photos_with_another_class_or_none_are_listed(photos, tmp_path):
    other, absent = list(photos)[:2]
    wanted = {**photos, other: (photos[other] + 1) % CLASSES, "0" * 64: 0}
    records = read_records(tmp_path, "test")
    singles = [given for given, *_ in encoded_photos(records.take(1), 1)]
    found = measure(Classifier(), encoded_photos(records, 8), singles, wanted, 1)
    assert found.changed == [other, "0" * 64]
    assert found.changed_share == 2 / 75
    assert absent in found.predicted


def test_a_photo_that_is_not_run_has_its_known_class(photos, tmp_path):
    records = read_records(tmp_path, "test")
    run = {sha256 for _, sha256s, _ in encoded_photos(records.take(10), 8) for sha256 in sha256s}
    known = {sha256: (number + 1) % CLASSES for sha256, number in photos.items()}
    single = next(encoded_photos(records, 1))[0]
    found = measure(Classifier(), encoded_photos(records.take(10), 8), [single], photos, 1, known)
    assert found.predicted == {sha256: photos[sha256] if sha256 in run else known[sha256] for sha256 in photos}
    assert set(found.changed) == set(photos) - run


def test_latency_excludes_the_first_call(monkeypatch):
    times = iter(range(1000))
    monkeypatch.setattr(parity.time, "perf_counter", lambda: next(times) ** 2)
    calls = []
    median, slowest = latency(calls.append, ["a", "b", "c"])
    assert calls == ["a", "a", "b", "c"]
    # Successive differences of the squares between the timed calls are 1, 5 and 9.
    assert median == 5
    assert slowest == pytest.approx(8.6)
