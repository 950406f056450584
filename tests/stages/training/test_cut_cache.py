"""What is kept at the cut: what the lower part gives, computed once, within a budget of the disk."""

from __future__ import annotations

import logging
import signal
from dataclasses import replace

import numpy as np
import pytest

from slimline.pipeline.errors import Stopped
from slimline.stages.backend.tensorflow import tf
from slimline.stages.data.storing.photos import Photos
from slimline.stages.images.augmentation_config import AugmentationConfig, CropConfig
from slimline.stages.models.card import read_card
from slimline.stages.networks.weights.checkpoint import read_checkpoint
from slimline.stages.training import cut_cache
from slimline.stages.training.cut_cache import cached_views, lower_function, view_of
from slimline.stages.training.network import phase_network
from tests.stages.toy_training import CACHE, SEEN, phase

pytestmark = pytest.mark.slow

SHAPE, VIEWS = (8, 8, 8), 3
CROP = CropConfig()


@pytest.fixture(scope="module")
def values(toys):
    return read_checkpoint(toys.head.path / "model.ckpt")


@pytest.fixture(scope="module")
def lower(toys):
    heads = ["Head/Logits/biases", "Head/Logits/weights"]
    return phase_network(read_card(toys.head.path), phase("Toy/Conv_2"), heads, fuse=True).lower


def drawn_quickly(encoded, wanted, augmentation, seed):
    """Stand in for the augmentations, which take a second to trace: add a colour that the seed decides."""
    image = tf.cast(tf.io.decode_png(encoded, channels=3), tf.float32) / 64 + tf.random.stateless_uniform([3], seed)
    return tf.image.resize(image, [wanted.input_px] * 2)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(cut_cache, "augment", drawn_quickly)


@pytest.fixture
def work(toys, tmp_path, lower, values, monkeypatch):
    """Give a function that asks for views of the validation photos, and says how many were computed."""
    photos = Photos(toys.ingest.path, "validation")
    computed = []
    run = cut_cache.run_prepared

    def counted(*arguments):
        for outputs, others in run(*arguments):
            computed.append(len(outputs))
            yield outputs, others

    monkeypatch.setattr(cut_cache, "run_prepared", counted)

    def ask(**changes):
        computed.clear()
        given = {
            "memo": toys.memo(str(tmp_path / "memory")),
            "lower": lower,
            "values": values,
            "photos": photos,
            "wanted": SEEN,
            "augmentation": CROP,
            "views": VIEWS,
            "seed": 0,
            "config": CACHE,
            "signal": lambda: None,
            **changes,
        }
        return cached_views(**given), sum(computed)

    ask.photos = photos
    return ask


def test_each_view_is_what_the_lower_part_gives(work, lower, values):
    (cache, keys), computed = work()
    assert np.shape(keys) == (len(work.photos), VIEWS)
    assert computed == len(work.photos) * VIEWS == len(cache)
    run = lower_function(lower, values, SEEN.input_px)
    prepare = tf.function(view_of(SEEN, CROP, 0), autograph=False)
    for place in (0, 3):
        for view in range(VIEWS):
            about = {"number": work.photos.numbers[place], "epoch": np.int64(view)}
            record = {name: tf.constant(value) for name, value in about.items()}
            record["encoded"] = tf.constant(work.photos.encoded(place))
            wanted = run(prepare(record)[None])[0].numpy()
            assert cache.read([keys[place][view]])[0] == pytest.approx(wanted, rel=2e-3, abs=2e-3)
            assert wanted.shape == SHAPE


def test_views_of_a_photo_differ(work):
    (cache, keys), _ = work()
    maps = cache.read(keys[0]).reshape(VIEWS, -1)
    assert len(np.unique(maps, axis=0)) == VIEWS


def test_nothing_is_computed_twice(quick, work):
    (first, keys), _ = work()
    (again, same), computed = work()
    assert (computed, same) == (0, keys)
    assert again.read(keys[1]).tobytes() == first.read(keys[1]).tobytes()
    assert work(views=VIEWS + 2)[1] == 2 * len(work.photos)
    assert work(views=1)[1] == 0


def test_whatever_decides_the_outputs_computes_them_anew(quick, work, values):
    assert work()[1] > 0
    moved = {**values, "Toy/Conv_0/weights": np.nextafter(values["Toy/Conv_0/weights"], 9)}
    for change in (
        {"seed": 1},
        {"augmentation": replace(CROP, hue=0.1)},
        {"augmentation": AugmentationConfig()},
        {"wanted": replace(SEEN, input_px=40)},
        {"values": moved},
        {"config": replace(CACHE, batch_size=4)},
    ):
        assert work(**change)[1] == len(work.photos) * VIEWS, change


def test_what_lies_above_the_cut_decides_nothing(quick, work, values):
    assert work()[1] > 0
    assert work(values={**values, "Toy/Conv_2/weights": 2 * values["Toy/Conv_2/weights"]})[1] == 0


def test_beyond_the_budget_nothing_is_kept_and_a_line_says_so(quick, work, caplog):
    with caplog.at_level(logging.INFO, "slimline.stages.training.cut_cache"):
        found, computed = work(config=replace(CACHE, budget_mb=0))
    assert (found, computed) == (None, 0)
    [line] = [record.getMessage() for record in caplog.records]
    assert f"{len(work.photos)} photos x 3 views" in line
    assert "train.cache.budget_mb=0: not kept" in line


def test_the_budget_counts_float16_of_all_views(quick, work):
    views = 200
    megabytes = len(work.photos) * views * np.prod(SHAPE) * 2 / 1e6
    assert 2 < megabytes < 3
    assert work(config=replace(CACHE, budget_mb=2), views=views)[0] is None
    assert work(config=replace(CACHE, budget_mb=3), views=views)[0] is not None


def test_a_signal_ends_the_work_and_what_was_computed_is_kept(quick, work):
    with pytest.raises(Stopped, match="Stopped by SIGTERM while it computed what lies below the cut") as caught:
        work(signal=lambda: signal.SIGTERM)
    assert caught.value.signal == signal.SIGTERM
    _, computed = work()
    assert 0 < computed < len(work.photos) * VIEWS
