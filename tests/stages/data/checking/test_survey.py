"""The survey: rows are found in any chunk, and finished chunks are not written again."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from slimline.stages.data.checking import survey
from slimline.stages.data.checking.checks import Limits
from slimline.stages.data.checking.survey import Survey, survey_photos
from slimline.stages.data.sources.photo import Photo
from tests.stages.data.surveys import sha256, survey_of

LIMITS = Limits(1_000_000, 10, 1_000_000)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(survey, "CHUNK", 5)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number in range(12):
        pixels = np.random.default_rng(number).integers(0, 256, (20, 30, 3), dtype=np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG")
        (tmp_path / f"{number}.jpg").write_bytes(file.getvalue())
    (tmp_path / "scratch").mkdir()
    return tmp_path


def surveyed(root: Path, limits: Limits = LIMITS, threads: int = 2) -> Survey:
    photos = (Photo(f"{number}.jpg", "ant", f"{root}/{number}.jpg") for number in range(12))
    return survey_photos(photos, root, root / "scratch", limits, threads, lambda count=1: None)


def test_texts_become_indices_into_their_sorted_values_over_all_chunks():
    found = survey_of([{"label": label} for label in "cba" * 3] + [{"label": None}, {"label": "B"}])
    codes, values = found.codes("label")
    assert values == ["B", "a", "b", "c"]
    assert codes.tolist() == [3, 2, 1] * 3 + [-1, 0]


def test_cells_are_found_in_their_chunk_and_missing_values_are_filled():
    rows = [{"label": "ant", "width": number or None, "phash": (1 << 64) - 1 - number} for number in range(12)]
    rows[7]["sha256"] = None
    found = survey_of(rows)
    assert [found.value(number, "width") for number in (0, 4, 5, 11)] == [None, 4, 5, 11]
    assert found.column("width", -7).tolist() == [-7, *range(1, 12)]
    assert found.column("phash").tolist() == [(1 << 64) - 1 - number for number in range(12)]
    expected = [bytes(32) if number == 7 else sha256(number) for number in range(12)]
    assert [row.tobytes() for row in found.sha256_array] == expected


def test_rows_come_in_the_sources_order_and_lead_to_the_bytes(root):
    found = surveyed(root, threads=4)
    assert [len(batch) for batch in found.batches] == [5, 5, 2]
    assert [found.path(row) for row in range(12)] == [f"{number}.jpg" for number in range(12)]
    assert all(found.read(row) == (root / f"{row}.jpg").read_bytes() for row in range(12))
    assert set(found.column("width")) == {30}
    assert (found.bad_rows(), found.reencoded()) == ([], 0)


def test_a_reencoded_photo_is_read_instead_of_the_original(root):
    Image.open(root / "3.jpg").save(root / "3.jpg", "TIFF")  # which TensorFlow can't read
    (root / "8.jpg").write_bytes(b"")
    found = surveyed(root)
    assert (found.bad_rows(), found.reencoded()) == ([8], 1)
    assert Image.open(io.BytesIO(found.read(3))).mode == "RGB"
    assert found.sha256_array[3].tobytes() != bytes(32)
    assert found.read(4) == (root / "4.jpg").read_bytes()


def test_finished_chunks_are_kept_and_only_the_others_written(root):
    whole = surveyed(root)
    chunks = sorted((root / "scratch").glob("rows-*.arrow"))
    before = [(path.stat().st_ino, path.stat().st_mtime_ns) for path in chunks]
    bytes_before = [path.read_bytes() for path in chunks]
    chunks[1].unlink()
    again = surveyed(root)
    kept = [(path.stat().st_ino, path.stat().st_mtime_ns) == one for path, one in zip(chunks, before, strict=True)]
    assert kept == [True, False, True]
    assert [path.read_bytes() for path in chunks] == bytes_before
    assert all(one.equals(other) for one, other in zip(whole.batches, again.batches, strict=True))
