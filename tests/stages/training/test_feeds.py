"""Feeds: the requested rows, in order, with another view of each photo in each epoch."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from slimline.stages.backend.tensorflow import tf
from slimline.stages.data.storing.photo_cache import PhotoCache
from slimline.stages.data.storing.photos import Photos
from slimline.stages.images.preprocessing import preprocess
from slimline.stages.training.feeds import AHEAD, FeaturesFeed, PhotosFeed, ViewsFeed, _ahead, in_order
from tests.stages.toy_training import SEEN

pytestmark = pytest.mark.slow

COUNT, VIEWS = 10, 3
ROWS = np.array([[3, 1, 4, 1], [9, 2, 6, 5], [0, 0, 8, 7]])


@pytest.mark.parametrize(("count", "size"), [(10, 4), (8, 4), (3, 4), (1, 1)])
def test_in_order_contains_each_index_once(count, size):
    rows = in_order(count, size)
    assert np.concatenate(rows).tolist() == list(range(count))
    assert {len(row) for row in rows[:-1]} <= {size}
    assert 0 < len(rows[-1]) <= size


def test_features_are_those_of_the_requested_rows():
    features, labels = np.random.default_rng(0).normal(size=(COUNT, 4)).astype(np.float32), np.arange(COUNT)
    feed = FeaturesFeed(features, labels)
    for row, batch in zip(ROWS, feed.batches(ROWS, 5), strict=True):
        assert batch.numpy().tobytes() == features[row].tobytes()
    constants = feed.constants()
    assert constants is feed.constants()
    assert constants[0].numpy().tobytes() == features.tobytes()
    assert constants[1].numpy().tolist() == labels.tolist()


@pytest.fixture
def views(tmp_path):
    """A feed of maps that contain the photo's index and the view's number; each photo's turn is its index."""
    cache = PhotoCache(tmp_path, (1, 1, 2), "float16")
    keys = [[f"{place}-{view}" for view in range(VIEWS)] for place in range(COUNT)]
    with cache.writing() as add:
        for place in range(COUNT):
            add(keys[place], np.array([[[[place, view]]] for view in range(VIEWS)], np.float32))
    return ViewsFeed(cache, keys, np.zeros(COUNT, np.int64), np.arange(COUNT) % VIEWS)


def test_each_epoch_uses_another_view_of_each_photo_in_rotation(views):
    rows = in_order(COUNT, 4)
    epochs = [np.concatenate([batch.numpy() for batch in views.batches(rows, epoch)]) for epoch in range(2 * VIEWS)]
    for maps in epochs:
        assert maps.shape == (COUNT, 1, 1, 2)
        assert maps.dtype == np.float32
        assert maps[:, 0, 0, 0].tolist() == list(range(COUNT))
    seen = np.array([maps[:, 0, 0, 1] for maps in epochs])
    assert np.sort(seen[:VIEWS], axis=0).tolist() == np.repeat(np.arange(VIEWS)[:, None], COUNT, axis=1).tolist()
    assert np.array_equal(seen[:VIEWS], seen[VIEWS:])
    assert len(set(seen[0].tolist())) == VIEWS  # not all photos use the same view


def test_views_come_in_the_order_of_the_rows(views):
    found = [batch.numpy()[:, 0, 0, 0].tolist() for batch in views.batches(ROWS, 1)]
    assert found == ROWS.tolist()


def test_photos_are_prepared_in_order_with_their_epoch(toys):
    photos = Photos(toys.ingest.path, "train")

    def prepare(record):
        image = preprocess(record["encoded"], SEEN)
        return image + 1000.0 * tf.cast(record["epoch"], tf.float32)

    plain = tf.function(lambda encoded: preprocess(encoded, SEEN), autograph=False)
    feed = PhotosFeed(photos, prepare)
    assert feed.labels.tolist() == photos.labels.tolist()
    for epoch in (0, 3):
        batches = list(feed.batches(ROWS, epoch))
        assert len(batches) == len(ROWS)
        for row, batch in zip(ROWS, batches, strict=True):
            wanted = np.stack([plain(tf.constant(photos.encoded(place))).numpy() for place in row])
            assert batch.numpy() == pytest.approx(wanted + 1000.0 * epoch, abs=1e-3)


def test_the_last_row_of_photos_may_be_shorter(toys):
    photos = Photos(toys.ingest.path, "validation")
    feed = PhotosFeed(photos, lambda record: preprocess(record["encoded"], SEEN))
    sizes = [len(batch) for batch in feed.batches(in_order(len(photos), 4), 0)]
    assert sizes == [len(row) for row in in_order(len(photos), 4)]


def test_only_a_few_rows_are_read_in_advance():
    read = []
    batches = _ahead(lambda row: read.append(int(row[0])) or row, np.arange(20).reshape(20, 1))
    assert next(batches).tolist() == [0]
    batches.close()
    assert 1 <= len(read) <= AHEAD + 1
    assert read == list(range(len(read)))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ThreadPoolExecutor")]


def test_an_error_in_the_reading_thread_is_raised():
    def fail(row):
        raise ZeroDivisionError(f"row {row[0]}")

    with pytest.raises(ZeroDivisionError, match="row 3"):
        list(_ahead(lambda row: fail(row) if row[0] == 3 else row, ROWS))
