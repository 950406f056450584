"""Shards: of similar sizes, mixed, with the same bytes however they are written, and never incomplete."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from slimline.pipeline.errors import UserError
from slimline.stages.data.checking.survey import Survey
from slimline.stages.data.splitting.config import SPLITS, SplitBy, SplitConfig
from slimline.stages.data.splitting.selection import Selection
from slimline.stages.data.storing.shards import MB, Places, Shard, plan_shards, record_lengths, write_shards
from tests.stages.data.surveys import photos_of, select, stored, survey_of

EXACT = SplitConfig(by=SplitBy.exact)


def planned(rows: list[dict], seed: int = 0, shard_mb: int = 1, min_shards: int = 1) -> tuple[Selection, list[Shard]]:
    survey = survey_of(rows)
    selection = select(survey, EXACT)
    return selection, plan_shards(survey, selection, seed, shard_mb, min_shards)


def of_split(shards: list[Shard], split: str) -> list[Shard]:
    return [shard for shard in shards if shard.split == split]


def test_shards_have_similar_sizes_near_the_requested_one_and_hold_each_photo_once():
    sizes = np.random.default_rng(0).integers(1000, 90_000, 3000)
    rows = [*photos_of("ant", 1500), *photos_of("bee", 1500)]
    rows = [{**row, "size": int(size)} for row, size in zip(rows, sizes, strict=True)]
    selection, shards = planned(rows, shard_mb=4)
    for number, split in enumerate(SPLITS):
        own = of_split(shards, split)
        total = sizes[selection.used(number)].sum()
        assert len(own) == -(-total // (4 * MB))
        held = np.array([sizes[shard.rows].sum() for shard in own])
        assert abs(held - total / len(own)).max() <= 90_000
        assert [shard.name for shard in own] == [
            f"{split}-{index:05d}-of-{len(own):05d}.tfrecord" for index in range(len(own))
        ]
        assert sorted(np.concatenate([shard.rows for shard in own])) == selection.used(number).tolist()


def test_there_are_at_least_min_shards_but_none_of_a_few_photos():
    _, shards = planned([*photos_of("ant", 500), *photos_of("bee", 500)], min_shards=8)
    assert Counter(shard.split for shard in shards) == {"train": 8, "validation": 7, "test": 7}
    _, few = planned([*photos_of("ant", 5), *photos_of("bee", 5)], min_shards=8)
    assert Counter(shard.split for shard in few) == {"train": 1, "validation": 1, "test": 1}
    assert all(len(shard.rows) for shard in shards + few)


def test_a_photo_larger_than_a_shard_leaves_no_shard_empty():
    rows = [{**row, "size": 50 * MB if number % 7 == 0 else 1000} for number, row in enumerate(photos_of("ant", 40))]
    _, shards = planned([*rows, *photos_of("bee", 40)], min_shards=4)
    assert all(len(shard.rows) for shard in shards)
    own = of_split(shards, "train")
    assert {shard.name.partition("-of-")[2] for shard in own} == {f"{len(own):05d}.tfrecord"}


def test_reading_in_order_mixes_all_classes():
    rows = [*photos_of("ant", 3000), *photos_of("bee", 1500), *photos_of("cow", 500)]
    selection, shards = planned(rows, min_shards=8)
    order = np.concatenate([shard.rows for shard in of_split(shards, "train")])
    for tenth in np.array_split(order, 10):
        shares = np.bincount(selection.labels[tenth], minlength=3) / len(tenth)
        assert shares == pytest.approx([0.6, 0.3, 0.1], abs=0.09)


def test_the_seed_changes_only_the_order():
    rows = [*photos_of("ant", 100), *photos_of("bee", 100)]
    (_, one), (_, same), (_, other) = (planned(rows, seed) for seed in (0, 0, 1))
    for first, second, third in zip(one, same, other, strict=True):
        assert first.rows.tolist() == second.rows.tolist() != third.rows.tolist()
        assert sorted(first.rows) == sorted(third.rows)


@pytest.fixture
def survey(tmp_path: Path) -> Survey:
    random = np.random.default_rng(0)
    return stored(
        [{"label": "ant" if number % 2 else "bee", "encoded": random.bytes(3000)} for number in range(160)], tmp_path
    )


def written(survey: Survey, out: Path, threads: int = 2) -> tuple[list[Shard], Places]:
    out.mkdir(exist_ok=True)
    selection = select(survey, EXACT)
    shards = plan_shards(survey, selection, 0, 1, 4)
    return shards, write_shards(survey, selection, shards, out, threads, lambda count=1: None)


def test_threads_change_no_byte(survey, tmp_path):
    shards, _ = written(survey, tmp_path / "one", 1)
    written(survey, tmp_path / "four", 4)
    assert len(shards) == 6
    for shard in shards:
        assert (tmp_path / "one" / shard.name).read_bytes() == (tmp_path / "four" / shard.name).read_bytes()
    assert len(list((tmp_path / "four").iterdir())) == len(shards)


def test_finished_shards_are_kept_and_the_others_written(survey, tmp_path):
    shards, places = written(survey, tmp_path / "out")
    files = [tmp_path / "out" / shard.name for shard in shards]
    whole = [path.read_bytes() for path in files]
    before = [(path.stat().st_ino, path.stat().st_mtime_ns) for path in files]
    os.rename(files[1], files[1].with_name(f".{files[1].name}.tmp"))
    os.truncate(files[1].with_name(f".{files[1].name}.tmp"), 1000)
    _, again = written(survey, tmp_path / "out")
    assert [path.read_bytes() for path in files] == whole
    kept = [(path.stat().st_ino, path.stat().st_mtime_ns) == old for path, old in zip(files, before, strict=True)]
    assert kept == [number != 1 for number in range(len(files))]
    for one, other in zip(places, again, strict=True):
        assert np.array_equal(one, other)


def test_places_are_those_of_the_records(survey, tmp_path):
    shards, places = written(survey, tmp_path / "out")
    for number, shard in enumerate(shards):
        assert (places.shards[shard.rows] == number).all()
        ends = places.offsets[shard.rows] + places.lengths[shard.rows]
        assert ends[:-1].tolist() == places.offsets[shard.rows][1:].tolist()
        assert ends[-1] == (tmp_path / "out" / shard.name).stat().st_size
        assert list(record_lengths(tmp_path / "out" / shard.name)) == places.lengths[shard.rows].tolist()


@pytest.mark.parametrize("change", ["shorter", "gone"])
def test_a_photo_that_changed_since_it_was_checked_is_refused_without_writing_its_shard(survey, tmp_path, change):
    photos = tmp_path / "photos.bin"
    if change == "gone":
        photos.unlink()
    else:
        os.truncate(photos, 3000 * 160 - 1)
    with pytest.raises(UserError, match=r"changed while it was read.*\nDo not change the photos"):
        written(survey, tmp_path / "out")
    last = next(shard for shard in plan_shards(survey, select(survey, EXACT), 0, 1, 4) if 159 in shard.rows)
    assert not (tmp_path / "out" / last.name).exists()


def test_a_shard_of_too_few_records_is_refused(survey, tmp_path):
    shards, _ = written(survey, tmp_path / "out")
    (tmp_path / "out" / shards[0].name).write_bytes(b"")
    with pytest.raises(UserError, match=f"{shards[0].name} holds 0 records, not {len(shards[0].rows)}"):
        written(survey, tmp_path / "out")
