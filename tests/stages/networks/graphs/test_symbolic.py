"""Networks as graphs: equal to the same network's module, when cut anywhere and fused, with the same gradients."""

from __future__ import annotations

import zlib
from collections import Counter

import numpy as np
import pytest

from slimline.stages.backend.tensorflow import tf
from slimline.stages.networks.graphs.batch_norms import fuse_frozen, use_batch_statistics
from slimline.stages.networks.graphs.folding import node_name
from slimline.stages.networks.graphs.module import SlimModule
from slimline.stages.networks.graphs.pointwise import use_products
from slimline.stages.networks.graphs.symbolic import find_cut, lower_part, trace, upper_part
from slimline.stages.networks.table import NETWORKS
from tests.tiers import release

pytestmark = pytest.mark.slow

PX = 64
NAMES = ("efficientnet_lite0", "mobilenet_v1", "mobilenet_v2", "inception_v1", "resnet_v1_50", "resnet_v2_50")


def network(name):
    build = NETWORKS[name].load()
    return lambda images, *, is_training=False: build(images, is_training=is_training)


def drawn(shape, name):
    """Draw a variable's value, such that a batch norm changes its input."""
    draw = np.random.default_rng(zlib.crc32(name.encode()))
    if name.endswith(("moving_variance", "gamma")):
        return draw.uniform(0.5, 1.5, shape).astype(np.float32)
    if name.endswith("conv3/weights"):  # so that the sum of a ResNet's units stays small
        return (0.1 * draw.standard_normal(shape) / np.prod(shape[:-1]) ** 0.5).astype(np.float32)
    scale = 0.05 if name.endswith(("beta", "moving_mean")) else (2 / max(1, np.prod(shape[:-1]))) ** 0.5
    return (scale * draw.standard_normal(shape)).astype(np.float32)


@pytest.fixture(scope="module", params=release(NAMES, ("mobilenet_v1", "resnet_v1_50")))
def traced(request):
    found = trace(network(request.param), (PX, PX, 3))
    values = {name: drawn(declared.shape, name) for name, declared in found.variables.items()}
    images = np.random.default_rng(0).uniform(-1, 1, (3, PX, PX, 3)).astype(np.float32)
    return request.param, found, values, images


def assert_close(found, expected, part=1e-4):
    """Compare arrays relative to their largest number, because a sum over many numbers has rounding errors."""
    np.testing.assert_allclose(found, expected, rtol=0, atol=part * np.abs(expected).max())


def reads(graph, values):
    """Return values as a function's inputs: as constants inside it, they would first be folded, for seconds."""
    return {name: tf.constant(values[name]) for name in graph.feeds}


def run(graph, images, values, wanted=()):
    build = tf.function(lambda images, given: graph.run(images, given, wanted), autograph=False)
    return [output.numpy() for output in build(tf.constant(images), reads(graph, values))]


def gradients(graph, images, values, names):
    """Return the gradients of the output's mean square by variable."""

    def build(images, given):
        loss = tf.reduce_mean(graph.run(images, given)[0] ** 2)
        return tf.gradients(loss, [given[name] for name in names])

    found = tf.function(build, autograph=False)(tf.constant(images), reads(graph, values))
    return {name: gradient.numpy() for name, gradient in zip(names, found, strict=True)}


def gradient_operations(graph, images, values):
    """Count the operations of the gradients of all trainable variables, and of the output."""

    def build(images, given):
        trainable = [given[name] for name, declared in graph.variables.items() if declared.trainable]
        return tf.gradients(graph.run(images, given)[0], trainable)

    function = tf.function(build, autograph=False).get_concrete_function(tf.constant(images), reads(graph, values))
    return Counter(operation.type for operation in function.graph.get_operations())


def test_a_graph_computes_what_the_module_does(traced):
    name, graph, values, images = traced
    module = SlimModule(network(name), (PX, PX, 3), values)
    expected = tf.function(lambda images: module(images)[0], autograph=False)(tf.constant(images)).numpy()
    assert set(graph.variables) == set(module.variables_by_name)
    assert_close(run(graph, images, values)[0], expected, 1e-6)


def test_fusing_changes_neither_the_output_nor_the_gradients(traced):
    _, graph, values, images = traced
    fused = fuse_frozen(graph)
    operations = [[node.op for node in one.graph_def.node] for one in (graph, fused)]
    assert operations[1].count("FusedBatchNormV3") < operations[0].count("FusedBatchNormV3")
    assert_close(run(fused, images, values)[0], run(graph, images, values)[0])
    names = [name for name, declared in graph.variables.items() if declared.trainable]
    plain, found = (gradients(one, images, values, names) for one in (graph, fused))
    for name in names:
        assert_close(found[name], plain[name], 1e-2)  # a sum close to zero may be on either side of ReLU's threshold


@pytest.mark.parametrize("traced", ["mobilenet_v2", "resnet_v2_50"], indirect=True)
def test_the_gradients_of_pointwise_convolutions_are_products(traced):
    _, graph, values, images = traced
    rewritten = use_products(graph)
    shapes = {node_name(feed): graph.variables[name].shape for name, feed in graph.feeds.items()}
    convolutions = [node for node in graph.graph_def.node if node.op == "Conv2D"]
    others = [
        node
        for node in convolutions
        if shapes[node_name(node.input[1])][:2] != (1, 1) or list(node.attr["strides"].list.i) != [1, 1, 1, 1]
    ]
    assert len(convolutions) - len(others) > 10
    found = gradient_operations(fuse_frozen(rewritten), images, values)
    assert found["Conv2DBackpropFilter"] == len(others)
    assert found["MatMul"] == 2 * (len(convolutions) - len(others))
    names = [name for name, declared in graph.variables.items() if declared.trainable]
    plain, found = (gradients(one, images, values, names) for one in (graph, rewritten))
    for name in names:
        assert_close(found[name], plain[name], 1e-3)


def test_every_batch_norm_of_the_mobile_networks_is_fused():
    for name in ("efficientnet_lite0", "mobilenet_v1", "mobilenet_v2", "inception_v1"):
        fused = fuse_frozen(trace(network(name), (PX, PX, 3)))
        assert not [node.name for node in fused.graph_def.node if node.op.startswith("FusedBatchNorm")]


def test_the_two_parts_of_a_cut_network_equal_the_whole(traced):
    _, graph, values, images = traced
    names = [name for name, declared in graph.variables.items() if declared.trainable]
    highest = names[len(names) // 2 :]
    cut = find_cut(graph, highest)
    assert cut not in (graph.given, graph.output)
    lower, upper = fuse_frozen(lower_part(graph, cut)), fuse_frozen(upper_part(graph, cut))
    assert not set(lower.feeds) & set(highest)
    assert set(highest) <= set(upper.feeds)
    halfway = run(lower, images, values)[0]
    whole = run(graph, images, values)[0]
    assert_close(run(upper, halfway, values)[0], whole)


def test_the_cut_is_as_high_as_possible():
    graph = trace(network("inception_v3"), (96, 96, 3))
    names = [name for name, declared in graph.variables.items() if declared.trainable]
    mixed = [name for name in names if name.startswith(("InceptionV3/Mixed_7b", "InceptionV3/Mixed_7c"))]
    cut = find_cut(graph, mixed)
    assert "Mixed_7a/concat" in cut
    assert find_cut(graph, names) == graph.given
    assert find_cut(graph, []) == graph.output
    last_branch = [name for name in names if "Mixed_7c/Branch_3" in name]
    assert "Mixed_7b/concat" in find_cut(graph, last_branch)


def test_a_residual_block_is_not_cut_inside():
    graph = trace(network("mobilenet_v2"), (PX, PX, 3))
    project = [name for name in graph.variables if "expanded_conv_4/project" in name]
    lower = lower_part(graph, find_cut(graph, project))
    assert all("expanded_conv_4" not in name for name in lower.feeds)
    assert any("expanded_conv_3/project" in name for name in lower.feeds)


def test_batch_statistics_are_those_of_the_batch():
    graph = trace(network("mobilenet_v1"), (PX, PX, 3))
    values = {name: drawn(declared.shape, name) for name, declared in graph.variables.items()}
    images = np.random.default_rng(1).uniform(-1, 1, (4, PX, PX, 3)).astype(np.float32)
    names = [name for name, declared in graph.variables.items() if declared.trainable]
    changed, statistics = use_batch_statistics(graph, names)
    assert len(statistics) == 27
    first = statistics[0]
    assert first.mean == "MobilenetV1/Conv2d_0/BatchNorm/moving_mean"
    _, mean, variance = run(changed, images, values, [first.batch_mean, first.batch_variance])
    convolved = tf.nn.conv2d(images, values["MobilenetV1/Conv2d_0/weights"], 2, "SAME").numpy()
    np.testing.assert_allclose(mean, convolved.mean((0, 1, 2)), atol=1e-4)
    np.testing.assert_allclose(variance, convolved.var((0, 1, 2), ddof=1), rtol=1e-3)


def test_batch_norms_that_are_not_trained_keep_their_statistics():
    graph = trace(network("mobilenet_v1"), (PX, PX, 3))
    trainable = [name for name in graph.variables if "Conv2d_13" in name and "moving" not in name]
    changed, statistics = use_batch_statistics(graph, trainable)
    assert {one.mean.split("/")[1] for one in statistics} == {"Conv2d_13_depthwise", "Conv2d_13_pointwise"}
    training = [node.name for node in changed.graph_def.node if node.attr["is_training"].b]
    assert len(training) == 2


def test_an_empty_part_returns_its_input():
    graph = trace(network("mobilenet_v1"), (PX, PX, 3))
    top = upper_part(graph, graph.output)
    features = np.ones((2, 1024), np.float32)
    assert not top.feeds
    np.testing.assert_array_equal(run(top, features, {})[0], features)


def test_xla_compiles_a_part():
    graph = fuse_frozen(trace(network("mobilenet_v1"), (PX, PX, 3)))
    names = [name for name, declared in graph.variables.items() if declared.trainable and "Conv2d_13_p" in name]
    top = upper_part(graph, find_cut(graph, names))
    values = {name: drawn(declared.shape, name) for name, declared in top.variables.items()}
    maps = np.random.default_rng(2).uniform(0, 1, (2, 2, 2, 1024)).astype(np.float32)

    def build(maps):
        return top.run(maps, {name: tf.constant(values[name]) for name in top.feeds})[0]

    plain, compiled = (tf.function(build, autograph=False, jit_compile=way)(maps).numpy() for way in (None, True))
    assert_close(compiled, plain)
