"""In training, every variable has a gradient, batch norm's averages change, and no global state remains."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from slimline.stages.backend.tensorflow import tf
from slimline.stages.networks.architectures.efficientnet_lite import efficientnet_lite0
from slimline.stages.networks.architectures.inception import inception_v3
from slimline.stages.networks.architectures.mobilenet_v1 import mobilenet_v1
from slimline.stages.networks.architectures.mobilenet_v2 import mobilenet_v2
from slimline.stages.networks.architectures.resnet import resnet_v1_50, resnet_v2_50
from slimline.stages.networks.graphs.module import SlimModule, outline
from tests.tiers import release

pytestmark = pytest.mark.slow

CASES = {
    "inception_v3": (partial(inception_v3, aux_logits=True), 96, 0.9997),
    "mobilenet_v1": (partial(mobilenet_v1, multiplier=0.25), 64, 0.9997),
    "mobilenet_v2": (partial(mobilenet_v2, multiplier=0.35), 64, 0.997),
    "resnet_v2_50": (resnet_v2_50, 64, 0.997),
    "efficientnet_lite0": (efficientnet_lite0, 64, 0.99),
}


def loss_of(logits, end_points):
    """Sum the cross-entropy of each classification layer."""
    outputs = [logits, *([end_points["AuxLogits"]] if "AuxLogits" in end_points else [])]
    return tf.add_n([tf.nn.sparse_softmax_cross_entropy_with_logits([0, 1, 2, 3], output) for output in outputs])


@pytest.mark.parametrize("name", release(CASES, ("mobilenet_v2", "resnet_v2_50")))
def test_a_gradient_reaches_every_variable_and_every_average_moves(name):
    network, size_px, decay = CASES[name]
    outside = tf.compat.v1.get_default_graph()
    collections = {key: list(outside.get_collection(key)) for key in outside.get_all_collection_keys()}
    module = SlimModule(partial(network, num_classes=5), (size_px, size_px, 3))
    trained = {name: variable for name, variable in module.variables_by_name.items() if variable.trainable}
    means = {name: variable for name, variable in module.variables_by_name.items() if name.endswith("/moving_mean")}
    images = np.random.default_rng(0).uniform(-1, 1, (4, size_px, size_px, 3)).astype(np.float32)

    @tf.function(autograph=False)
    def step():
        with tf.GradientTape() as tape:
            loss = loss_of(*module(tf.constant(images), is_training=True))
        return tape.gradient(loss, list(trained.values()))

    gradients = dict(zip(trained, step(), strict=True))
    assert [name for name, gradient in gradients.items() if gradient is None or not np.any(gradient)] == []
    assert all(np.isfinite(gradient).all() for gradient in gradients.values())
    first = {name: variable.numpy() for name, variable in means.items()}
    assert [name for name, value in first.items() if not np.any(value)] == []
    step()
    # From 0, the same batch twice gives (1 - decay) mean, then that times 1 + decay.
    for name, value in first.items():
        assert np.linalg.norm(means[name].numpy() - value * (1 + decay)) < 1e-4 * np.linalg.norm(value)
    assert {key: list(outside.get_collection(key)) for key in outside.get_all_collection_keys()} == collections


def test_resnet_can_be_built_repeatedly_and_leaves_no_collection():
    def twice(images, *, is_training=False):
        one, first = resnet_v1_50(images, is_training=is_training)
        other, second = resnet_v1_50(2 * images, is_training=is_training)
        return one + other, {**{f"one/{key}": value for key, value in first.items()}, **second}

    made, once = outline(twice, (64, 64, 3)), outline(resnet_v1_50, (64, 64, 3))
    assert list(made.variables) == list(once.variables)
    assert made.end_points == {**{f"one/{key}": shape for key, shape in once.end_points.items()}, **once.end_points}
    assert not [key for key in made.graph.get_all_collection_keys() if "resnet" in key]
