"""The index: one row per photo, which states the place of its record or why there is none."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from slimline.stages.data.checking import survey
from slimline.stages.data.splitting.config import SPLITS
from slimline.stages.data.storing import index
from slimline.stages.data.storing.index import write_index, write_twins
from slimline.stages.data.storing.records import read_record
from slimline.stages.data.storing.shards import plan_shards, write_shards
from tests.stages.data.surveys import outcomes, select, split_names, stored


def photo(number: int, **more) -> dict:
    random = np.random.default_rng(number)
    label = "ant" if number % 2 else "bee"
    return {"label": label, "encoded": random.bytes(500), "phash": int(random.integers(1 << 62)), **more}


ODD = [
    {"label": "ant", "encoded": b"no photo", "reason": "it is text, not an image", "width": 0, "height": 0},
    {"label": "notes", "skipped": True, "reason": "not named as a photo: .txt", "sha256": None, "format": None},
    {"label": "ant", "reason": "can't be read: gone", "sha256": None, "path": b"ant/\xff\n.jpg"},
    photo(3, note="named .png, is jpeg", group="p1"),
    photo(4, encoded=photo(5)["encoded"]),
]


@pytest.fixture
def out(tmp_path, monkeypatch) -> Path:
    """Write the index of 64 photos and a few special ones, in chunks of 7."""
    monkeypatch.setattr(survey, "CHUNK", 7)
    monkeypatch.setattr(index, "PAIRS_AT_ONCE", 2)
    rows = [photo(number) for number in range(60)]
    twins = [photo(60 + number, phash=rows[0]["phash"] ^ (1 << number) - 1) for number in range(4)]
    found = stored([*rows, *twins, *ODD], tmp_path)
    selection = select(found)
    shards = plan_shards(found, selection, 0, 1, 3)
    places = write_shards(found, selection, shards, tmp_path, 2, lambda count=1: None)
    write_index(found, selection, places, tmp_path / "index.parquet")
    write_twins(found, selection, tmp_path / "twins.parquet")
    rows = pq.read_table(tmp_path / "index.parquet").to_pylist()
    assert [row["outcome"] for row in rows] == outcomes(selection)
    assert [row["split"] for row in rows] == split_names(selection)
    return tmp_path


def test_each_used_row_states_the_place_of_its_record(out):
    rows = pq.read_table(out / "index.parquet").to_pylist()
    used = [row for row in rows if row["outcome"] == "used"]
    assert len(used) > 50
    for row in used:
        feature = read_record(out, row["shard"], row["offset"], row["length"])
        encoded = feature["image/encoded"].bytes_list.value[0]
        assert hashlib.sha256(encoded).hexdigest() == row["sha256"]
        assert feature["image/key/sha256"].bytes_list.value[0].decode() == row["sha256"]
        assert feature["image/filename"].bytes_list.value[0].decode() == row["path"]
        assert feature["image/class/text"].bytes_list.value[0].decode() == row["label"]
        assert row["shard"].startswith(f"{row['split']}-")
        assert row["provisional"] in (True, False)
        assert row["reason"] is None
    assert len({(row["shard"], row["offset"]) for row in used}) == len(used)


def test_each_other_row_has_a_reason_and_no_place(out):
    rows = pq.read_table(out / "index.parquet").to_pylist()
    assert len(rows) == 69
    for row in rows:
        if row["outcome"] != "used":
            assert [row[name] for name in ("split", "provisional", "shard", "offset", "length")] == [None] * 5
            assert row["reason"]
    text, notes, gone, _, conflict = rows[64:]
    assert (text["outcome"], text["reason"]) == ("quarantined", "it is text, not an image")
    assert (notes["outcome"], notes["sha256"], notes["format"]) == ("skipped", None, None)
    assert gone["path"] == "ant/\\xff\n.jpg"
    assert conflict["reason"] == "the same bytes as ant/5.jpg, which is labeled ant: one of the labels is wrong"
    assert rows[5]["reason"] == "the same bytes as bee/68.jpg, which is labeled bee: one of the labels is wrong"
    [kept] = [row for row in (rows[3], rows[67]) if row["outcome"] == "used"]
    [repeat] = [row for row in (rows[3], rows[67]) if row["outcome"] == "duplicate"]
    assert repeat["reason"] == f"the same bytes as {kept['path']}"
    assert (rows[67]["note"], rows[67]["group"]) == ("named .png, is jpeg", "p1")


def test_twins_are_listed_most_similar_first_with_their_outcomes(out):
    twins = pq.read_table(out / "twins.parquet").to_pylist()
    by_path = {row["path"]: row for row in pq.read_table(out / "index.parquet").to_pylist()}
    assert [row["bits"] for row in twins] == sorted(row["bits"] for row in twins)
    assert len(twins) == 10
    for row in twins:
        for one in ("first", "second"):
            found = by_path[row[one]]
            assert row[f"{one}_label"] == found["label"]
            assert row[f"{one}_outcome"] == found["outcome"]
            assert row[f"{one}_split"] in SPLITS
            assert found["split"] in (None, row[f"{one}_split"])


def test_without_twins_the_table_is_empty(tmp_path):
    found = stored([photo(number, phash=None) for number in range(20)], tmp_path)
    write_twins(found, select(found), tmp_path / "twins.parquet")
    table = pq.read_table(tmp_path / "twins.parquet")
    assert (table.num_rows, table.column_names[0], table.column_names[-1]) == (0, "first", "bits")
