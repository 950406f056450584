"""Frozen graphs, cut and run: equal to TensorFlow 1's outputs, one image at a time."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from slimline.stages.backend.tensorflow import tf
from slimline.stages.networks.architectures.mobilenet_v1 import mobilenet_v1
from slimline.stages.networks.graphs.file import read_graph
from slimline.stages.networks.graphs.frozen_graph import cut_graph, frozen_network, logits_tensor
from slimline.stages.networks.graphs.module import SlimModule, freeze
from slimline.stages.networks.graphs.tensors import bottleneck_candidates, import_graph, input_candidates, modernize
from slimline.stages.networks.weights.checkpoint import read_checkpoint
from tests.conftest import shared
from tests.stages.networks.graphs.making import (
    SIDE_PX,
    convolved,
    graph_of,
    images_placeholder,
    inception_2015,
    pooled,
    random,
    run_one_by_one,
    some_images,
)

MOBILENET = "weights/mobilenet_v1_1.0_224/mobilenet_v1_1.0_224"
POOL, PROBABILITIES = "MobilenetV1/Logits/AvgPool_1a/AvgPool:0", "MobilenetV1/Predictions/Reshape_1:0"


@pytest.fixture(scope="module")
def mobilenet():
    return read_graph(shared(f"{MOBILENET}_frozen.pb"))


@pytest.fixture(scope="module")
def mobilenet_cut(mobilenet):
    names = {"pooled": POOL, "logits": PROBABILITIES}
    return cut_graph(mobilenet, input_name="input", output_names=names, size_px=224)


def photo() -> np.ndarray:
    path = shared("data/imagenet_photos/beagle.jpg")
    return np.asarray(Image.open(path).convert("RGB").resize((224, 224)), np.float32)[None] / 127.5 - 1


def frozen(graph_def, side_px=SIDE_PX, logits=False):
    return freeze(frozen_network(graph_def, logits), {}, (side_px, side_px, 3))


def error(value, wanted):
    assert value.shape == wanted.shape
    return np.linalg.norm(value - wanted) / np.linalg.norm(wanted)


def cut(graph_def, output, given="images", **more):
    return cut_graph(graph_def, input_name=given, output_names={"pooled": output, **more}, size_px=SIDE_PX)


def operations(function):
    return [node.op for node in function.graph.as_graph_def().node]


def test_mobilenet_names_its_candidates(mobilenet):
    graph = import_graph(modernize(mobilenet))
    assert [tensor.name for tensor in input_candidates(graph)] == ["input:0"]
    found = {tensor.name: tensor.shape.as_list() for tensor in bottleneck_candidates(graph)}
    assert found[POOL] == [1, 1, 1, 1024]
    assert found[PROBABILITIES] == [1, 1001]
    assert len(found) == 8


@pytest.mark.parametrize(("logits", "name"), [(False, POOL), (True, PROBABILITIES)])
def test_mobilenet_takes_any_batch_and_keeps_its_outputs(mobilenet, mobilenet_cut, logits, name):
    images = np.concatenate([photo(), some_images(2, 224)])
    wanted = run_one_by_one(mobilenet, "input:0", name, images[:, None])
    run = frozen(mobilenet_cut, 224, logits)
    assert error(run(tf.constant(images)).numpy(), wanted.reshape(3, -1)) < 1e-5
    assert error(run(tf.constant(images[:1])).numpy(), wanted.reshape(3, -1)[:1]) < 1e-5


def test_mobilenet_cut_is_folded_and_fused(mobilenet_cut):
    from tensorflow.python.eager import context

    run = frozen(mobilenet_cut, 224)
    with context.collect_graphs() as graphs:
        run(tf.zeros([2, 224, 224, 3]))
    # Graphs that other tests or threads of this process have run are collected too. The last one with depthwise layers
    # is this one, as graphs are collected in the order in which they run.
    collected = [[node.op for node in graph.node] for graph in graphs]
    *_, ran = [operations for operations in collected if "_FusedDepthwiseConv2dNative" in operations]
    assert ran.count("_FusedConv2D") == 14
    assert ran.count("_FusedDepthwiseConv2dNative") == 13
    assert not {"Mul", "Add", "Conv2D", "DepthwiseConv2dNative", "FusedBatchNormV3", "Relu6"} & set(ran)


def test_mobilenet_equals_the_slim_network_with_the_same_weights(mobilenet_cut):
    values = read_checkpoint(shared(f"{MOBILENET}.ckpt.index").with_suffix(""))
    slim = freeze(mobilenet_v1, values, (224, 224, 3))
    images = tf.constant(np.concatenate([photo(), some_images(1, 224)]))
    assert error(frozen(mobilenet_cut, 224)(images).numpy(), slim(images).numpy()) < 1e-4


def test_mobilenet_logits_are_before_the_softmax(mobilenet):
    assert logits_tensor(mobilenet, PROBABILITIES) == "MobilenetV1/Predictions/Reshape:0"
    assert logits_tensor(mobilenet, POOL) == POOL


def a_jpeg(seed):
    file = BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (20, 30, 3), np.uint8)
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


@pytest.mark.parametrize("scaled", [False, True])
def test_the_2015_graph_is_cut_at_its_scaled_images(scaled):
    graph_def = inception_2015(scale_after_normalization=scaled)
    jpegs = [a_jpeg(0), a_jpeg(1)]
    images = run_one_by_one(graph_def, "DecodeJpeg/contents:0", "Mul:0", jpegs)
    names = {"pooled": "pool_3:0", "logits": logits_tensor(graph_def, "softmax:0")}
    assert names["logits"] == "softmax/logits:0"
    small = cut_graph(graph_def, input_name="Mul:0", output_names=names, size_px=16)
    for logits, name in ((False, "pool_3:0"), (True, "softmax/logits:0")):
        wanted = run_one_by_one(graph_def, "DecodeJpeg/contents:0", name, jpegs).reshape(2, -1)
        run = frozen(small, 16, logits)
        assert error(run(tf.constant(images)).numpy(), wanted) < 1e-5
        assert not {"BatchNormWithGlobalNormalization", "FusedBatchNormV3", "CheckNumerics"} & set(operations(run))


def test_the_2015_graph_is_cut_before_its_resize():
    graph_def = inception_2015()
    images = np.abs(random(2, 24, 24, 3)) * 100
    small = cut_graph(graph_def, input_name="ExpandDims", output_names={"pooled": "pool_3"}, size_px=24)
    wanted = run_one_by_one(graph_def, "ExpandDims:0", "pool_3:0", images[:, None]).reshape(2, 6)
    assert error(frozen(small, 24)(tf.constant(images)).numpy(), wanted) < 1e-5


def test_a_graph_older_than_versions_has_placeholders_of_unknown_shape():
    graph_def = graph_of(lambda: pooled(tf.compat.v1.placeholder(tf.float32, None, name="images")))
    for node in graph_def.node:
        if node.op == "Placeholder":
            node.attr["shape"].Clear()
            node.attr["shape"].shape.SetInParent()
    graph_def.ClearField("versions")
    images = some_images(2)
    wanted = run_one_by_one(graph_def, "images:0", "pool:0", images[:, None]).reshape(2, 6)
    assert error(frozen(cut(graph_def, "pool"))(tf.constant(images)).numpy(), wanted) < 1e-5


def as_constant_shape(net):
    return tf.reshape(net, [1, 6], name="flat")


def with_another_minus_one(net):
    return tf.reshape(net, [1, -1], name="flat")


def with_long_constant_shape(net):
    return tf.reshape(tf.reshape(net, [1, 6]), [1, 1, 1, 6], name="flat")


def as_packed_constants(net):
    return tf.raw_ops.Reshape(tensor=net, shape=tf.raw_ops.Pack(values=[1, 6], axis=0), name="flat")


def as_packed_batch(net):
    batch = tf.strided_slice(tf.raw_ops.Shape(input=net), [0], [1], [1], shrink_axis_mask=1)
    return tf.raw_ops.Reshape(tensor=net, shape=tf.raw_ops.Pack(values=[batch, 6], axis=0), name="flat")


def as_slim_flattens(net):
    shape = tf.raw_ops.Shape(input=net)
    batch = tf.raw_ops.Slice(input=shape, begin=[0], size=[1])
    width = tf.reduce_prod(tf.raw_ops.Slice(input=shape, begin=[1], size=[3]))
    return tf.raw_ops.Reshape(tensor=net, shape=tf.concat([batch, tf.expand_dims(width, 0)], 0), name="flat")


def squeezed_of_all(net):
    return tf.nn.softmax(tf.raw_ops.Squeeze(input=net), name="flat")


def squeezed_of_all_and_reshaped(net):
    return tf.reshape(tf.raw_ops.Squeeze(input=net), [1, 6], name="flat")


def squeezed_of_the_batch(net):
    return tf.squeeze(net, [0, 1, -2], name="flat")


def squeezed_of_the_batch_alone(net):
    return tf.squeeze(net, [0], name="flat")


BATCHES = [
    as_constant_shape,
    with_another_minus_one,
    with_long_constant_shape,
    as_packed_constants,
    as_packed_batch,
    as_slim_flattens,
    squeezed_of_all,
    squeezed_of_all_and_reshaped,
    squeezed_of_the_batch,
    squeezed_of_the_batch_alone,
]


@pytest.mark.parametrize("batch", [1, None])
@pytest.mark.parametrize("end", BATCHES)
def test_a_fixed_batch_becomes_any(end, batch):
    graph_def = graph_of(lambda: end(pooled(images_placeholder(batch))))
    images = some_images(3)
    wanted = run_one_by_one(graph_def, "images:0", "flat:0", images[:, None]).reshape(3, 6)
    small = cut(graph_def, "flat")
    [output] = [node for node in import_graph(small).get_operations() if node.name == "pooled"]
    assert output.outputs[0].shape.as_list() == [None, 6]
    run = frozen(small)
    for count in (1, 2, 3):
        assert error(run(tf.constant(images[:count])).numpy(), wanted[:count]) < 1e-5


def test_a_leading_one_that_is_not_the_batch_is_kept():
    """A Split of [3, batch, ...], as in attention, gives [1, batch, ...]: that 1 may be squeezed away."""

    def build():
        net = tf.reshape(tf.squeeze(pooled(images_placeholder(None)), [1, 2]), [-1, 3, 2])
        first, _, last = tf.split(tf.transpose(net, [1, 0, 2]), 3)
        tf.concat([tf.squeeze(last, [0]), tf.squeeze(first, [0])], 1, name="flat")

    graph_def = graph_of(build)
    images = some_images(3)
    wanted = run_one_by_one(graph_def, "images:0", "flat:0", images[:, None])
    assert error(frozen(cut(graph_def, "flat"))(tf.constant(images)).numpy(), wanted) < 1e-5


def spelled_out(net, name, order=1):
    """Normalize as TensorFlow 1 did before it had a fused operation."""
    mean, variance, gamma, beta = (random(6, seed=seed) for seed in range(4))
    inverse = tf.math.rsqrt(tf.constant(variance**2) + 0.001) * gamma
    offset = tf.identity(beta) - tf.constant(mean) * inverse
    product = (tf.multiply(net, inverse), tf.multiply(inverse, net))[order]
    return (tf.add(product, offset, name=name), tf.raw_ops.Add(x=offset, y=product, name=name))[order]


@pytest.mark.parametrize("order", [0, 1])
def test_batch_norm_of_separate_operations_is_folded(order):
    def build():
        net = tf.nn.conv2d(images_placeholder(), random(3, 3, 3, 6), 1, "SAME")
        tf.reduce_mean(tf.nn.relu(spelled_out(net, "norm", order)), [1, 2], name="pool")

    graph_def = graph_of(build)
    images = some_images(2)
    run = frozen(cut(graph_def, "pool"))
    wanted = run_one_by_one(graph_def, "images:0", "pool:0", images[:, None])
    assert error(run(tf.constant(images)).numpy(), wanted) < 1e-5
    assert {"Conv2D", "BiasAdd", "Relu"} <= set(operations(run))
    assert not {"Mul", "Add", "AddV2", "Rsqrt", "FusedBatchNormV3"} & set(operations(run))


def test_batch_norm_whose_convolution_is_read_twice_is_kept_and_right():
    def build():
        net = tf.nn.conv2d(images_placeholder(), random(3, 3, 3, 6), 1, "SAME")
        tf.reduce_mean(spelled_out(net, "norm") + net, [1, 2], name="pool")

    graph_def = graph_of(build)
    images = some_images(2)
    wanted = run_one_by_one(graph_def, "images:0", "pool:0", images[:, None])
    assert error(frozen(cut(graph_def, "pool"))(tf.constant(images)).numpy(), wanted) < 1e-5


def test_the_fused_batch_norm_of_2017_is_folded():
    def build():
        net = tf.nn.conv2d(images_placeholder(), random(3, 3, 3, 6), 1, "SAME")
        values = {
            part: tf.constant(np.abs(random(6, seed=len(part)))) for part in ("scale", "offset", "mean", "variance")
        }
        net = tf.raw_ops.FusedBatchNorm(x=net, **values, epsilon=0.001, is_training=False).y
        tf.reduce_mean(tf.nn.relu6(net), [1, 2], name="pool")

    graph_def = graph_of(build)
    images = some_images(2)
    run = frozen(cut(graph_def, "pool"))
    wanted = run_one_by_one(graph_def, "images:0", "pool:0", images[:, None])
    assert error(run(tf.constant(images)).numpy(), wanted) < 1e-5
    assert "FusedBatchNorm" not in operations(run)


def test_edges_that_only_order_side_effects_are_removed():
    def build():
        raw = tf.compat.v1.placeholder(tf.float32, [None, None, None, 3], name="raw")
        seen = tf.debugging.Assert(tf.reduce_all(raw < 9), [raw])
        with tf.control_dependencies([seen]):
            images = tf.multiply(raw, 2.0, name="scaled")
        net = pooled(tf.ensure_shape(images, [1, SIDE_PX, SIDE_PX, 3], name="checked"))
        with tf.control_dependencies([seen]):
            net = tf.identity(tf.identity(net), name="barrier")
        tf.reshape(net, [1, 6], name="flat")

    graph_def = graph_of(build)
    for node in graph_def.node:
        node.device = "/device:GPU:7"
        node.attr["_class"].list.s.append(b"loc:@gone")
    run = frozen(cut(graph_def, "flat", given="scaled"))
    for node in graph_def.node:
        node.device = ""
        del node.attr["_class"]
    images = some_images(2)
    wanted = run_one_by_one(graph_def, "scaled:0", "flat:0", images[:, None])
    assert error(run(tf.constant(images)).numpy(), wanted) < 1e-5
    assert not {"Assert", "All"} & set(operations(run))


@pytest.mark.parametrize("training", [False, True])
def test_a_branch_that_a_constant_chooses_works(training):
    def build():
        net = tf.reshape(pooled(images_placeholder()), [1, 6])
        tf.compat.v1.disable_control_flow_v2()
        try:
            choice = tf.constant(training, name="is_training")
            outside = tf.constant(random(6))
            picked = tf.compat.v1.cond(choice, lambda: net * outside + 1.0, lambda: tf.identity(net) - outside)
        finally:
            tf.compat.v1.enable_control_flow_v2()
        tf.identity(picked, name="flat")

    graph_def = graph_of(build)
    assert "Switch" in {node.op for node in graph_def.node}
    images = some_images(3)
    wanted = run_one_by_one(graph_def, "images:0", "flat:0", images[:, None])
    assert error(frozen(cut(graph_def, "flat"))(tf.constant(images)).numpy(), wanted) < 1e-5


def test_random_tensors_are_not_constants():
    def build():
        noise = tf.sqrt(tf.random.uniform([1, 6]))
        tf.add(tf.reshape(pooled(images_placeholder()), [1, 6]), noise, name="flat")

    run = frozen(cut(graph_of(build), "flat"))
    images = tf.constant(some_images(1))
    assert not np.array_equal(run(images), run(images))


def test_defaults_of_placeholders_are_used():
    def build():
        keep = tf.compat.v1.placeholder_with_default(np.float32(0.5), [], name="keep")
        tf.multiply(tf.reshape(pooled(images_placeholder()), [1, 6]), keep, name="flat")

    graph_def = graph_of(build)
    images = some_images(2)
    wanted = run_one_by_one(graph_def, "images:0", "flat:0", images[:, None])
    assert error(frozen(cut(graph_def, "flat"))(tf.constant(images)).numpy(), wanted) < 1e-5


def test_names_of_the_cut_graph_may_be_taken():
    def build():
        net = tf.squeeze(pooled(images_placeholder(None, "raw") * 1.0, "pooled"), [1, 2], name="input")
        tf.matmul(net, random(6, 4), name="logits")

    graph_def = graph_of(build)
    images = some_images(2)
    small = cut(graph_def, "pooled", given="raw", logits="logits")
    wanted = run_one_by_one(graph_def, "raw:0", "logits:0", images[:, None])
    assert error(frozen(small, logits=True)(tf.constant(images)).numpy(), wanted) < 1e-5
    assert {"input", "pooled", "logits"} <= {node.name for node in small.node}


def test_the_cut_graph_is_a_network_like_any_other():
    graph_def = graph_of(lambda: tf.matmul(as_constant_shape(pooled(images_placeholder())), random(6, 4), name="out"))
    small = cut(graph_def, "pool", logits="out").SerializeToString()
    assert "MatMul" not in operations(frozen(small))
    module = SlimModule(frozen_network(small, True), (SIDE_PX, SIDE_PX, 3))
    assert module.variables_by_name == {}
    ends = {}

    def twice(images):
        for is_training in (True, False):
            output, end_points = module(images, is_training=is_training)
            ends[is_training] = output
        return output, end_points["pooled"], end_points["Logits"], ends[True]

    output, features, logits, training = tf.function(twice, autograph=False)(tf.constant(some_images(2)))
    assert features.shape == [2, 6]
    assert output.shape == [2, 4]
    assert np.array_equal(output, logits)
    assert np.array_equal(output, training)


@pytest.mark.parametrize("tail", ["Softmax", "Reshape", "Squeeze", "Identity"])
def test_logits_are_found_through_operations_that_keep_them(tail):
    def build():
        net = tf.identity(pooled(images_placeholder()), name="scores")
        net = tf.nn.softmax(net, name="Softmax")
        net = tf.reshape(net, [1, 1, 6], name="Reshape")
        tf.identity(tf.squeeze(net, [1], name="Squeeze"), name="Identity")

    graph_def = graph_of(build)
    assert logits_tensor(graph_def, tail) == "scores:0"
    assert logits_tensor(graph_def, "scores") == "scores:0"
    assert logits_tensor(graph_def, "absent") == "absent:0"


def test_spatial_squeezes_and_candidates():
    """The [batch, 1, 1, width] of squeeze-and-excite is before spatial tensors, so it isn't a bottleneck."""

    def build():
        net = convolved(images_placeholder(None))
        squeezed = tf.reduce_mean(net, [1, 2], keepdims=True, name="excite")
        tf.reduce_mean(net * tf.sigmoid(squeezed), [1, 2], name="features")

    graph = import_graph(graph_of(build))
    assert [tensor.name for tensor in bottleneck_candidates(graph)] == ["features:0"]
