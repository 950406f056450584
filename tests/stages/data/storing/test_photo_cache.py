"""The cache of arrays by photo: arrays are read as they were added, whatever happens to files and writers."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import time

import numpy as np
import pyarrow as pa
import pytest

from slimline.stages.data.storing import photo_cache
from slimline.stages.data.storing.photo_cache import PhotoCache

FORK = multiprocessing.get_context("fork")
SHAPE = (2, 3)


def keys(*numbers: int) -> list[str]:
    return [f"{number:064x}" for number in numbers]


def values(*numbers: int, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.stack([np.random.default_rng(number).normal(0, 10, shape).astype(np.float32) for number in numbers])


def put(folder, *numbers: int, dtype: str = "float32") -> PhotoCache:
    cache = PhotoCache(folder, SHAPE, dtype)
    with cache.writing() as add:
        add(keys(*numbers), values(*numbers))
    return cache


def parts(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def to_bfloat16(array: np.ndarray) -> np.ndarray:
    """Round to the nearest float32 whose lower half is zero; ties to even."""
    bits = array.view(np.uint32).astype(np.uint64)
    low = bits & 0xFFFF
    up = (low > 0x8000) | ((low == 0x8000) & ((bits >> 16) & 1 == 1))
    return (((bits >> 16) + up) << 16).astype(np.uint32).view(np.float32)


@pytest.mark.parametrize("shape", [(5,), (2, 3), (7, 7, 4), ()])
@pytest.mark.parametrize(
    ("dtype", "rounded"),
    [("float32", lambda array: array), ("float16", lambda array: array.astype(np.float16)), ("bfloat16", to_bfloat16)],
)
def test_added_arrays_are_read_in_any_order(shape, dtype, rounded, tmp_path):
    cache = PhotoCache(tmp_path, shape, dtype)
    with cache.writing() as add:
        add(keys(1, 2, 3), values(1, 2, 3, shape=shape))
        add(keys(4), values(4, shape=shape))
    for found in (cache, PhotoCache(tmp_path, shape, dtype)):
        read = found.read(keys(4, 2, 2, 1))
        expected = rounded(values(4, 2, 2, 1, shape=shape))
        assert (read.dtype, read.shape) == (expected.dtype, (4, *shape))
        assert np.array_equal(read, expected)
        assert len(found) == 4
        assert [key in found for key in keys(3, 5)] == [True, False]
        assert found.size_bytes == 4 * int(np.prod(shape)) * (4 if dtype == "float32" else 2)


def test_bfloat16_rounds_to_even_and_keeps_nan_and_infinity(tmp_path):
    bits = np.array([0x3F808000, 0x3F818000, 0x3F808001, 0x7F800000, 0xFF800000, 0x7FC00000], np.uint32)
    cache = PhotoCache(tmp_path, (6,), "bfloat16")
    with cache.writing() as add:
        add(keys(1), bits.view(np.float32)[None])
    [read] = cache.read(keys(1))
    assert read[:5].view(np.uint32).tolist() == [0x3F800000, 0x3F820000, 0x3F810000, 0x7F800000, 0xFF800000]
    assert np.isnan(read[5])


def test_any_memory_layout_is_accepted(tmp_path):
    turned = np.asfortranarray(values(1, 2, 3))
    for dtype in ("float32", "bfloat16"):
        cache = PhotoCache(tmp_path / dtype, SHAPE, dtype)
        (tmp_path / dtype).mkdir()
        with cache.writing() as add:
            add(keys(1, 2, 3), turned)
            add(keys(4), values(9, 4)[1:])
        assert np.allclose(cache.read(keys(1, 2, 3, 4)), values(1, 2, 3, 4), rtol=2**-8)


def test_reading_no_keys_returns_no_arrays(tmp_path):
    assert PhotoCache(tmp_path, SHAPE, "float32").read([]).shape == (0, *SHAPE)
    assert put(tmp_path, 1).read([]).shape == (0, *SHAPE)


def test_adding_nothing_writes_no_part(tmp_path):
    with PhotoCache(tmp_path, SHAPE, "float32").writing() as add:
        add([], np.empty((0, *SHAPE), np.float32))
    assert parts(tmp_path) == []


def test_a_missing_key_is_named(tmp_path):
    with pytest.raises(KeyError, match=keys(2)[0]):
        put(tmp_path, 1).read(keys(1, 2))


def test_arrays_of_another_writer_are_seen_when_the_folder_is_opened_again(tmp_path):
    put(tmp_path, 1, 2)
    put(tmp_path, 3)
    put(tmp_path, 2, 4)
    cache = PhotoCache(tmp_path, SHAPE, "float32")
    assert (len(cache), len(parts(tmp_path))) == (4, 3)
    assert np.array_equal(cache.read(keys(3, 4, 1, 2)), values(3, 4, 1, 2))


def test_the_same_key_twice_is_harmless(tmp_path):
    cache = put(tmp_path, 1, 1, 2)
    with cache.writing() as add:
        add(keys(2), values(2))
    for found in (cache, PhotoCache(tmp_path, SHAPE, "float32")):
        assert len(found) == 2
        assert np.array_equal(found.read(keys(2, 1)), values(2, 1))


@pytest.mark.parametrize("limit", ["PART_BYTES", "PART_SECONDS"])
def test_a_full_part_is_closed_and_can_be_read_immediately(limit, tmp_path, monkeypatch):
    monkeypatch.setattr(photo_cache, limit, 0)
    cache = PhotoCache(tmp_path, SHAPE, "float32")
    with cache.writing() as add:
        add(keys(1, 2), values(1, 2))
        assert np.array_equal(cache.read(keys(2, 1)), values(2, 1))
        add(keys(3), values(3))
        assert len(parts(tmp_path)) == 2
    assert np.array_equal(PhotoCache(tmp_path, SHAPE, "float32").read(keys(3, 1)), values(3, 1))


def test_an_unfinished_part_is_hidden(tmp_path):
    cache = PhotoCache(tmp_path, SHAPE, "float32")
    with cache.writing() as add:
        add(keys(1), values(1))
        [name] = parts(tmp_path)
        assert name.startswith(".")
        assert len(cache) == len(PhotoCache(tmp_path, SHAPE, "float32")) == 0
    assert len(cache) == 1


def test_an_error_in_the_block_loses_nothing_that_was_added(tmp_path):
    cache = PhotoCache(tmp_path, SHAPE, "float32")
    with pytest.raises(ZeroDivisionError), cache.writing() as add:
        add(keys(1, 2), values(1, 2))
        raise ZeroDivisionError
    assert np.array_equal(PhotoCache(tmp_path, SHAPE, "float32").read(keys(2)), values(2))


def test_a_full_disk_leaves_no_part(tmp_path, monkeypatch):
    put(tmp_path, 1)
    before = parts(tmp_path)

    def refuse(self, batch):
        raise OSError("no space left")

    monkeypatch.setattr(photo_cache._Part, "write", refuse)
    cache = PhotoCache(tmp_path, SHAPE, "float32")
    with pytest.raises(OSError, match="no space left"), cache.writing() as add:
        add(keys(2), values(2))
    assert parts(tmp_path) == before
    assert (keys(1)[0] in cache, keys(2)[0] in cache) == (True, False)


def test_a_killed_writer_loses_only_its_last_part(tmp_path):
    def work() -> None:
        with PhotoCache(tmp_path, SHAPE, "float32").writing() as add:
            photo_cache.PART_BYTES = 0
            add(keys(1), values(1))
            photo_cache.PART_BYTES = 1 << 28
            add(keys(2), values(2))
            os.kill(os.getpid(), signal.SIGKILL)

    process = FORK.Process(target=work)
    process.start()
    process.join(20)
    assert process.exitcode == -signal.SIGKILL
    assert [name.startswith(".") for name in parts(tmp_path)] == [True, False]
    cache = PhotoCache(tmp_path, SHAPE, "float32")
    assert [key in cache for key in keys(1, 2)] == [True, False]
    with cache.writing() as add:
        add(keys(2), values(2))
    assert np.array_equal(cache.read(keys(1, 2)), values(1, 2))


def test_an_unfinished_part_of_a_killed_writer_is_removed_only_when_it_is_old(tmp_path):
    old, young = tmp_path / ".part-old.arrow.tmp", tmp_path / ".part-young.arrow.tmp"
    for path in (old, young):
        path.write_text("half")
    os.utime(old, (time.time() - 2 * photo_cache.ABANDONED_SECONDS,) * 2)
    put(tmp_path, 1)
    assert (old.exists(), young.exists()) == (False, True)


def test_two_processes_write_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(photo_cache, "PART_BYTES", 1 << 12)
    barrier = FORK.Barrier(2)

    def work(first: int) -> None:
        with PhotoCache(tmp_path, SHAPE, "float32").writing() as add:
            for number in range(first, first + 60):  # both processes write thirty of them
                if number % 20 == 0:
                    barrier.wait(10)
                add(keys(number), values(number))

    processes = [FORK.Process(target=work, args=(first,)) for first in (0, 30)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(20)
    assert [process.exitcode for process in processes] == [0, 0]
    cache = PhotoCache(tmp_path, SHAPE, "float32")
    assert len(cache) == 90
    assert len(parts(tmp_path)) > 2
    assert np.array_equal(cache.read(keys(*range(90))), values(*range(90)))


def test_a_part_truncated_anywhere_is_left_out_with_a_warning(tmp_path, caplog):
    put(tmp_path, 1)
    [good] = parts(tmp_path)
    put(tmp_path, 2, 3)
    [damaged] = [path for path in tmp_path.iterdir() if path.name != good]
    whole = damaged.read_bytes()
    for length in (0, 1, 7, *range(8, len(whole), 61), len(whole) - 1):
        damaged.write_bytes(whole[:length])
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            cache = PhotoCache(tmp_path, SHAPE, "float32")
        assert [record.levelname for record in caplog.records] == ["WARNING"], length
        assert damaged.name in caplog.text
        assert [key in cache for key in keys(1, 2, 3)] == [True, False, False]
        assert np.array_equal(cache.read(keys(1)), values(1))
    with cache.writing() as add:
        add(keys(2, 3), values(2, 3))
    assert np.array_equal(PhotoCache(tmp_path, SHAPE, "float32").read(keys(3, 1, 2)), values(3, 1, 2))


def test_a_part_that_is_not_an_arrow_file_is_left_out(tmp_path, caplog):
    put(tmp_path, 1)
    (tmp_path / "part-zeros.arrow").write_bytes(bytes(5000))
    (tmp_path / "part-text.arrow").write_text("ARROW1 and then nothing of the kind" * 40)
    assert len(PhotoCache(tmp_path, SHAPE, "float32")) == 1
    assert len(caplog.records) == 2


@pytest.mark.parametrize(("shape", "dtype"), [((3, 2), "float32"), ((6,), "float32"), (SHAPE, "float16")])
def test_a_part_of_another_shape_or_dtype_is_left_out(shape, dtype, tmp_path, caplog):
    put(tmp_path, 1)
    assert len(PhotoCache(tmp_path, shape, dtype)) == 0
    assert "It holds" in caplog.text


def test_bfloat16_is_stored_as_uint16_and_marked_as_bfloat16(tmp_path):
    put(tmp_path, 1, dtype="bfloat16")
    [path] = tmp_path.iterdir()
    schema = pa.ipc.open_file(str(path)).schema
    assert schema.field("values").type == pa.list_(pa.uint16(), 6)
    assert schema.metadata == {b"shape": b"2x3", b"dtype": b"bfloat16"}


@pytest.mark.parametrize(
    ("names", "array"),
    [
        (keys(1, 2), values(1)),
        (keys(1), values(1, 2)),
        (keys(1), values(1, shape=(3, 2))),
        (keys(1), values(1, shape=(6,))),
        (keys(1), values(1)[0]),
    ],
)
def test_values_of_another_shape_are_refused(names, array, tmp_path):
    cache = PhotoCache(tmp_path, SHAPE, "float32")
    with pytest.raises(ValueError, match=r"one array \(2, 3\) per key is allowed"), cache.writing() as add:
        add(names, array)
    assert parts(tmp_path) == []


def test_a_number_too_large_for_float16_is_refused(tmp_path):
    cache = PhotoCache(tmp_path, (1,), "float16")
    with cache.writing() as add:
        add(keys(1), np.array([[65504.0]], np.float32))
        with pytest.raises(FloatingPointError):
            add(keys(2), np.array([[70000.0]], np.float32))
    assert cache.read(keys(1)) == 65504.0
    assert len(cache) == 1


@pytest.mark.parametrize(("shape", "dtype"), [(SHAPE, "float64"), (SHAPE, "int8"), ((0, 3), "float32")])
def test_an_invalid_shape_or_dtype_is_refused(shape, dtype, tmp_path):
    with pytest.raises(ValueError, match="are allowed"):
        PhotoCache(tmp_path, shape, dtype)


def test_opening_loads_no_values(tmp_path):
    cache = PhotoCache(tmp_path, (1000, 1000), "float32")
    with cache.writing() as add:
        add(keys(1, 2, 3, 4), np.ones((4, 1000, 1000), np.float32))
    before = pa.total_allocated_bytes()
    found = PhotoCache(tmp_path, (1000, 1000), "float32")
    assert pa.total_allocated_bytes() - before < 1e6
    assert found.size_bytes == 16e6
    assert found.read(keys(3)).sum() == 1e6
