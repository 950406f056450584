"""Cached outputs at the cut: equal to those of the lower layers, computed once, within the disk budget."""

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
from slimline.stages.training import cut_cache
from slimline.stages.training.cut_cache import cached_views, lower_function, view_of
from slimline.stages.training.network import phase_network
from tests.stages.toy_training import CACHE, SEEN, phase

pytestmark = pytest.mark.slow

SHAPE, VIEWS = (8, 8, 8), 3
CROP = CropConfig()


@pytest.fixture(scope="module")
def values(toys):
    return toys.untrained()


@pytest.fixture(scope="module")
def lower(toys):
    heads = ["Head/Logits/biases", "Head/Logits/weights"]
    return phase_network(read_card(toys.head.path), phase("Toy/Conv_2"), heads, fuse=True).lower


def drawn_quickly(encoded, wanted, augmentation, seed):
    """Replace the augmentations, which take a second to trace: add a color that depends on the seed."""
    image = tf.cast(tf.io.decode_png(encoded, channels=3), tf.float32) / 64 + tf.random.stateless_uniform([3], seed)
    return tf.image.resize(image, [wanted.input_px] * 2)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(cut_cache, "augment", drawn_quickly)


@pytest.fixture
def work(toys, tmp_path, lower, values, monkeypatch):
    """Return a function that requests views of the validation photos, and returns how many were computed."""
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


def test_each_view_equals_the_lower_layers_output(work, lower, values):
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


def test_no_view_is_computed_twice(quick, work):
    (first, keys), _ = work()
    (again, same), computed = work()
    assert (computed, same) == (0, keys)
    assert again.read(keys[1]).tobytes() == first.read(keys[1]).tobytes()
    assert work(views=VIEWS + 2)[1] == 2 * len(work.photos)
    assert work(views=1)[1] == 0


def test_a_change_that_affects_the_outputs_recomputes_them(quick, work, values):
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


def test_weights_above_the_cut_do_not_matter(quick, work, values):
    assert work()[1] > 0
    assert work(values={**values, "Toy/Conv_2/weights": 2 * values["Toy/Conv_2/weights"]})[1] == 0


def test_outputs_over_the_budget_are_not_cached_and_this_is_logged(quick, work, caplog):
    with caplog.at_level(logging.INFO, "slimline.stages.training.cut_cache"):
        found, computed = work(config=replace(CACHE, budget_mb=0))
    assert (found, computed) == (None, 0)
    [line] = [record.getMessage() for record in caplog.records]
    assert f"outputs at the cut are not cached: {len(work.photos)} photos x 3 views need " in line
    assert line.endswith("more than train.cache.budget_mb=0")


def test_the_budget_counts_float16_of_all_views(quick, work):
    views = 200
    megabytes = len(work.photos) * views * np.prod(SHAPE) * 2 / 1e6
    assert 2 < megabytes < 3
    assert work(config=replace(CACHE, budget_mb=2), views=views)[0] is None
    assert work(config=replace(CACHE, budget_mb=3), views=views)[0] is not None


def test_a_signal_stops_the_computation_and_keeps_its_outputs(quick, work):
    with pytest.raises(Stopped, match="Stopped by SIGTERM while computing the outputs at the cut") as caught:
        work(signal=lambda: signal.SIGTERM)
    assert caught.value.signal == signal.SIGTERM
    _, computed = work()
    assert 0 < computed < len(work.photos) * VIEWS
