"""Features: complete, in order, at the usual spread; tests/stages/test_train.py trains heads on them."""

from __future__ import annotations

import numpy as np
import pytest

from slimline.stages.backend.tensorflow import tf
from slimline.stages.data.storing.features import SPREAD, feature_scale
from slimline.stages.images.batches import run_prepared
from slimline.stages.images.preprocessing_config import Preprocessing

WANTED = Preprocessing(input_px=4, crop="whole", offset=0.0, scale=1.0)


@pytest.mark.parametrize("count", [1, 4, 23])
def test_outputs_come_in_order_and_once_each(count):
    photos = [tf.io.encode_png(np.full((4, 4, 3), 10 * number, np.uint8)).numpy() for number in range(count)]
    records = tf.data.Dataset.from_tensor_slices({"encoded": photos, "label": list(range(count))})
    batches = list(run_prepared(lambda images: tf.reduce_mean(images, [1, 2, 3]), records, WANTED, 4))
    assert [len(values) for values, _ in batches] == [4] * (count // 4) + [count % 4] * bool(count % 4)
    assert np.allclose(np.concatenate([values for values, _ in batches]), 10.0 * np.arange(count))
    assert np.concatenate([others["label"].numpy() for _, others in batches]).tolist() == list(range(count))


def test_an_error_in_a_batch_is_raised():
    photos = [tf.io.encode_png(np.zeros((4, 4, 3), np.uint8)).numpy()] * 12

    def fail(images):
        raise ZeroDivisionError("in a batch")

    with pytest.raises(ZeroDivisionError, match="in a batch"):
        list(run_prepared(fail, tf.data.Dataset.from_tensor_slices({"encoded": photos}), WANTED, 4))


def drawn(scale: float) -> np.ndarray:
    return (np.random.default_rng(0).normal(3, scale, [400, 6])).astype(np.float32)


def test_features_of_any_spread_are_scaled_to_the_usual_one():
    for scale in (0.01, 1, 500):
        scaled = drawn(scale) * feature_scale(drawn(scale))
        assert np.sqrt(np.mean(np.sum(np.square(scaled - scaled.mean(axis=0)), axis=1))) == pytest.approx(SPREAD, 1e-3)
    assert feature_scale(np.ones([5, 3], np.float32)) == 1
