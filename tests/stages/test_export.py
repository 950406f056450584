"""Export: every test photo's name is asked for, whatever the batches, and one that differs is found."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages import export
from stages.data.records import Record, serialize, write_shard

LABELS = ["ant", "bee", "cow"]


class Classifier:
    """Says of bytes what their first one is, modulo the classes; notes how many it gets at once."""

    labels = LABELS

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, encoded):
        self.sizes.append(len(encoded))
        return np.eye(len(LABELS))[[one[0] % len(LABELS) for one in encoded.numpy()]]


@pytest.fixture
def photos(tmp_path: Path) -> dict[str, str]:
    """Write test photos, and return the name that each one's bytes ask for, by sha256."""
    names = {}
    for shard in range(2):
        examples = []
        for number in range(shard, 75, 2):
            encoded = bytes([number, shard])
            sha256 = hashlib.sha256(encoded).hexdigest()
            names[sha256] = LABELS[number % 3]
            examples.append(serialize(Record(encoded, "jpeg", 0, "ant", 1, 1, b"a.jpg", sha256)))
        write_shard(tmp_path / f"test-{shard:05d}-of-00002.tfrecord", examples)
    return names


@pytest.mark.parametrize(("batch_size", "window"), [(16, 16), (7, 2), (100, 1)])
def test_each_photo_is_named_whatever_the_batches(photos, tmp_path, monkeypatch, batch_size, window):
    monkeypatch.setattr(export, "WINDOW", window)
    classify = Classifier()
    assert export._best_names(classify, tmp_path, batch_size) == photos
    assert set(classify.sizes) == {batch_size}


def test_photos_that_are_named_otherwise_or_not_at_all_are_listed(tmp_path):
    rows = [{"filename": f"{name}.jpg", "sha256": name, "predicted": "ant"} for name in "abc"]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "predictions.parquet")
    said = {"a": "ant", "b": "bee"}
    assert export.find_flips(tmp_path / "predictions.parquet", said) == [
        "b.jpg: 'bee', was 'ant'",
        "c.jpg: None, was 'ant'",
    ]
