"""TF-Slim networks as modules: names, ownership, folding, fused operations."""

from __future__ import annotations

from collections import Counter
from functools import partial

import numpy as np
import pytest

from slimline.stages.backend.slim import BATCH_NORM, slim
from slimline.stages.backend.tensorflow import tf
from slimline.stages.fusion.graph import trace_graphs
from slimline.stages.networks.architectures.efficientnet_lite import (
    BLOCKS,
    efficientnet_lite0,
    scale_filters,
    scale_repeats,
)
from slimline.stages.networks.graphs.module import SlimModule, freeze, outline

pytestmark = pytest.mark.slow


def small(images, *, is_training=False):
    """A convolution, batch norm and ReLU; then a depthwise convolution with batch norm."""
    norm = {**BATCH_NORM, "is_training": is_training, "scale": True, "decay": 0.9}
    with slim.arg_scope([slim.conv2d, slim.separable_conv2d], normalizer_fn=slim.batch_norm, normalizer_params=norm):
        net = slim.conv2d(images, 8, [3, 3], scope="first")
        net = slim.separable_conv2d(net, None, [3, 3], 1, stride=1, scope="second")
    return net, {}


@pytest.fixture(scope="module")
def lite0():
    return SlimModule(partial(efficientnet_lite0, num_classes=1000), (224, 224, 3))


def randomized(module):
    random = np.random.default_rng(0)
    values = {}
    for name, variable in module.variables_by_name.items():
        low, high = (0.5, 1.5) if name.endswith(("variance", "gamma")) else (-0.3, 0.3)
        values[name] = random.uniform(low, high, variable.shape).astype("float32")
    return values


def test_lite0_has_the_variables_of_a_slim_checkpoint(lite0):
    names = lite0.variables_by_name
    assert len(names) == 247
    assert names["EfficientnetLite0/Conv/weights"].shape == [3, 3, 3, 32]
    assert names["EfficientnetLite0/expanded_conv/depthwise/depthwise_weights"].shape == [3, 3, 32, 1]
    assert names["EfficientnetLite0/expanded_conv_15/expand/BatchNorm/gamma"].shape == [1152]
    assert names["EfficientnetLite0/Logits/Conv2d_1c_1x1/biases"].shape == [1000]
    assert sum(int(np.prod(variable.shape)) for variable in names.values()) == 4_694_024


def test_scaling_rounds_to_multiples_of_eight_and_keeps_the_ends():
    assert [scale_filters(filters, 1.1) for filters in (16, 24, 40, 80, 112, 192, 320)] == [
        16,
        24,
        48,
        88,
        120,
        208,
        352,
    ]
    assert [run.repeats for run in scale_repeats(BLOCKS, 1.2)] == [1, 3, 3, 4, 4, 5, 1]


def test_two_modules_with_equal_names_share_nothing():
    one, other = SlimModule(small, (8, 8, 3)), SlimModule(small, (8, 8, 3))
    one.variables_by_name["first/weights"].assign(tf.zeros([3, 3, 3, 8]))
    assert np.abs(other.variables_by_name["first/weights"].numpy()).sum() > 0


def test_initial_values_follow_the_seed_and_the_name():
    one, same, other = (SlimModule(small, (8, 8, 3), seed=seed) for seed in (1, 1, 2))
    name = "first/weights"
    assert np.array_equal(one.variables_by_name[name], same.variables_by_name[name])
    assert not np.array_equal(one.variables_by_name[name], other.variables_by_name[name])


def test_training_updates_the_averages_and_inference_does_not():
    module = SlimModule(small, (8, 8, 3))
    images = tf.constant(np.random.default_rng(0).normal(3, 1, (4, 8, 8, 3)).astype("float32"))
    mean = module.variables_by_name["first/BatchNorm/moving_mean"]
    tf.function(lambda: module(images), autograph=False)()
    assert np.all(mean.numpy() == 0)
    tf.function(lambda: module(images, is_training=True), autograph=False)()
    assert np.abs(mean.numpy()).max() > 0


def test_freezing_folds_every_batch_norm_and_keeps_the_outputs():
    module = SlimModule(small, (8, 8, 3))
    values = randomized(module)
    for name, value in values.items():
        module.variables_by_name[name].assign(value)
    images = tf.constant(np.random.default_rng(1).normal(size=(2, 8, 8, 3)).astype("float32"))
    frozen = freeze(small, values, (8, 8, 3))
    plain = tf.function(lambda: module(images)[0], autograph=False)()
    assert np.linalg.norm(frozen(images) - plain) / np.linalg.norm(plain) < 1e-5
    assert not [node.op for node in frozen.graph.as_graph_def().node if "BatchNorm" in node.op]


def test_the_optimized_graph_fuses_convolution_bias_and_activation(lite0):
    frozen = freeze(partial(efficientnet_lite0), randomized(lite0), (224, 224, 3))
    found = trace_graphs(lambda: frozen(tf.zeros([1, 224, 224, 3]))).optimized
    operations = Counter(operation.name for operation in found.elements())
    assert operations["_FusedConv2D"] == 33
    assert operations["_FusedDepthwiseConv2dNative"] == 16
    assert not {"Conv2D", "DepthwiseConv2dNative", "Relu6", "FusedBatchNormV3"} & set(operations)


def test_a_network_is_traced_once_for_its_outline_its_variables_and_for_freezing():
    traced = []

    def counted(images, *, is_training=False):
        traced.append(images)
        return small(images, is_training=is_training)

    made = outline(counted, (8, 8, 3))
    assert made is outline(counted, (8, 8, 3))
    assert list(SlimModule(counted, (8, 8, 3)).variables_by_name) == list(made.variables)
    values = {name: np.ones(one.shape, "float32") for name, one in made.variables.items()}
    for scale in (1, 2):  # each call uses the constants that it is given
        values["second/depthwise_weights"] = np.full((3, 3, 8, 1), scale, "float32")
        outputs = freeze(counted, values, (8, 8, 3))(tf.ones([1, 8, 8, 3])).numpy()
        plain = SlimModule(small, (8, 8, 3), values)
        assert outputs == pytest.approx(tf.function(lambda m=plain: m(tf.ones([1, 8, 8, 3]))[0])().numpy(), rel=1e-5)
    assert len(traced) == 1
    outline(counted, (16, 16, 3))
    assert len(traced) == 2


def test_freezing_without_a_variables_value_names_the_variable():
    with pytest.raises(KeyError, match="first/weights"):
        freeze(small, {}, (8, 8, 3))
