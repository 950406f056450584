"""The list of the photos that trained a model: as ingest's index has it, and as an export keeps it."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from slimline.pipeline.errors import UserError
from slimline.stages.data.storing.training_photos import read_training_photos, write_training_photos

ROWS = [
    ("b" * 64, "ant", "train", "used"),
    ("a" * 64, "ant", "train", "used"),
    ("c" * 64, "bee", "validation", "used"),
    ("d" * 64, "bee", "test", "used"),
    ("e" * 64, "bee", None, "duplicate"),
    (None, None, None, "skipped"),
]


@pytest.fixture
def index(tmp_path):
    columns = dict(zip(("sha256", "label", "split", "outcome"), zip(*ROWS, strict=True), strict=True))
    pq.write_table(pa.table({"path": pa.array(["x"] * len(ROWS)), **columns}), tmp_path / "index.parquet")
    return tmp_path / "index.parquet"


def test_photos_are_counted_by_the_split_that_they_had(index, tmp_path):
    listed = tmp_path / "training_photos.parquet"
    write_training_photos(index, listed)
    for path in (index, listed):
        found = read_training_photos(path)
        assert found.classes == {"ant": 2}
        asked = [letter * 64 for letter in "abcdex"]
        assert found.counts_among(asked) == {"train": 2, "validation": 1}
        assert found.counts_among([]) == {"train": 0, "validation": 0}
        assert found.counts_among(["a" * 63 + "b", "a" * 15 + "b" * 49]) == {"train": 1, "validation": 0}


def test_an_export_lists_neither_paths_nor_whole_checksums(index, tmp_path):
    write_training_photos(index, tmp_path / "listed.parquet")
    assert pq.read_table(tmp_path / "listed.parquet").to_pylist() == [
        {"sha256": letter * 16, "label": label, "split": split}
        for letter, label, split in (("a", "ant", "train"), ("b", "ant", "train"), ("c", "bee", "validation"))
    ]


def test_another_file_is_refused(tmp_path):
    other = tmp_path / "other.parquet"
    pq.write_table(pa.table({"sha256": ["a"]}), other)
    with pytest.raises(UserError, match=r"other\.parquet does not list the photos that trained a model"):
        read_training_photos(other)
    other.write_bytes(b"no Parquet")
    with pytest.raises(UserError, match=r"other\.parquet does not list"):
        read_training_photos(other)
