"""The errors for frozen graphs that can't be used, word for word."""

from __future__ import annotations

import numpy as np
import pytest

from slimline.pipeline.errors import UserError
from slimline.stages.backend.tensorflow import tf
from slimline.stages.networks.graphs.frozen_graph import cut_graph, flatten
from tests.stages.networks.graphs.making import (
    SIDE_PX,
    convolved,
    graph_of,
    images_placeholder,
    inception_2015,
    pooled,
    random,
)


def refusal(graph_def, output="flat", given="images", size_px=SIDE_PX):
    with pytest.raises(UserError) as caught:
        cut_graph(graph_def, input_name=given, output_names={"pooled": output}, size_px=size_px)
    return str(caught.value).splitlines()


def simple():
    return graph_of(lambda: tf.reshape(pooled(images_placeholder()), [1, 6], name="flat"))


def test_the_error_for_an_unknown_bottleneck_lists_similar_names_and_candidates():
    assert refusal(inception_2015(), "pool_4:0", "Mul:0", 16) == [
        "base.bottleneck=pool_4:0: the graph has no such tensor.",
        "Similar names: pool_3.",
        "Candidates for base.bottleneck:",
        "  pool_3:0 [1, 1, 1, 6]",
        "  pool_3/_reshape:0 [1, 6]",
        "  softmax/logits/MatMul:0 [1, 5]",
        "  softmax/logits:0 [1, 5]",
        "  softmax:0 [1, 5]",
    ]


def test_the_error_for_an_unknown_input_lists_similar_names_and_candidates():
    assert refusal(inception_2015(), "pool_3:0", "Mull", 16) == [
        "base.input=Mull: the graph has no such tensor.",
        "Similar names: Mul.",
        "Candidates for base.input:",
        "  ExpandDims:0 [1, ?, ?, 3]",
        "  ResizeBilinear:0 [1, 16, 16, 3]",
        "  Sub:0 [1, 16, 16, 3]",
        "  Mul:0 [1, 16, 16, 3]",
    ]


def test_candidates_are_at_most_ten():
    def build():
        net = tf.reshape(pooled(images_placeholder()), [1, 6])
        for _ in range(20):
            net = tf.nn.relu(net)

    assert len(refusal(graph_of(build), "nothing")) == 2 + 10


@pytest.mark.parametrize("output", ["flat:1", "flat:x", "flat:"])
def test_an_output_that_does_not_exist(output):
    assert refusal(simple(), output) == [f"base.bottleneck={output}: flat has one output, flat:0."]


def test_an_output_beyond_several():
    graph_def = graph_of(lambda: tf.split(tf.reshape(pooled(images_placeholder()), [1, 6]), 2, 1, name="parts"))
    assert refusal(graph_def, "parts:2") == ["base.bottleneck=parts:2: parts has outputs parts:0 to parts:1."]


def test_an_operation_without_output():
    graph_def = graph_of(lambda: (pooled(images_placeholder()), tf.raw_ops.NoOp(name="done")))
    assert refusal(graph_def, "done") == [
        "base.bottleneck=done: done has no output.",
        "Candidates for base.bottleneck:",
        "  pool:0 [1, 1, 1, 6]",
    ]


def test_an_output_that_does_not_depend_on_the_input():
    assert refusal(inception_2015(), "softmax:0", "conv:0", 16)[0] == (
        "base.input=conv:0 is [1, 7, 7, 6], not [batch, height, width, 3]."
    )
    graph_def = graph_of(lambda: (images_placeholder(), tf.identity(tf.constant(random(1, 6)), name="flat")))
    assert refusal(graph_def)[0] == "base.bottleneck=flat doesn't depend on base.input."
    graph_def = graph_of(lambda: pooled(tf.nn.relu(tf.identity(images_placeholder(), name="behind")), "flat"))
    assert refusal(graph_def, "images", "Relu")[0] == (
        f"images is [1, {SIDE_PX}, {SIDE_PX}, 3]: neither [batch, width] nor [batch, 1, 1, width]."
    )


def test_another_placeholder_is_needed():
    def build():
        net = tf.reshape(pooled(images_placeholder()), [1, 6], name="features")
        keep = tf.compat.v1.placeholder(tf.float32, [], name="keep_prob")
        tf.matmul(net / keep, random(6, 4), name="flat")

    assert refusal(graph_of(build)) == [
        "base.bottleneck=flat needs the placeholder keep_prob in addition to base.input.",
        "Choose a tensor that doesn't: features:0.",
        "Or freeze the graph for inference, with keep_prob as a constant.",
    ]


def test_a_queue_is_needed():
    def build():
        queue = tf.compat.v1.FIFOQueue(2, [tf.float32], [[6]], name="numbers")
        net = tf.reshape(pooled(images_placeholder()), [1, 6], name="features")
        tf.add(net, queue.dequeue(), name="flat")

    assert (
        refusal(graph_of(build))[0]
        == "base.bottleneck=flat needs the FIFOQueueV2 operation numbers in addition to base.input."
    )


def test_a_map_of_features():
    graph_def = graph_of(lambda: pooled(images_placeholder()))
    assert refusal(graph_def, "conv/relu") == [
        "conv/relu is [1, 4, 4, 6]: neither [batch, width] nor [batch, 1, 1, width].",
        "Choose the tensor after the global pooling.",
        "Candidates for base.bottleneck:",
        "  pool:0 [1, 1, 1, 6]",
    ]
    with pytest.raises(UserError, match=r"conv is \[2, 4, 4, 6\]: neither"):
        flatten(tf.zeros([2, 4, 4, 6]), "conv")
    with pytest.raises(UserError, match=r"conv is \[2, 4, 6\], not \[batch, width\]"):
        flatten(tf.zeros([2, 4, 6]), "conv")
    assert flatten(tf.zeros([2, 1, 1, 6]), "conv").shape == flatten(tf.zeros([2, 6]), "conv").shape


def test_another_type_shape_or_size_than_the_images_have():
    def build():
        raw = tf.compat.v1.placeholder(tf.uint8, [1, SIDE_PX, SIDE_PX, 3], name="raw")
        pooled(tf.cast(raw, tf.float32, name="images"))

    graph_def = graph_of(build)
    assert refusal(graph_def, "pool", "raw") == [
        "base.input=raw:0 is of type uint8, not float32.",
        "Candidates for base.input:",
        "  images:0 [1, 8, 8, 3]",
    ]
    assert refusal(graph_def, "pool", "conv/relu")[0] == (
        "base.input=conv/relu:0 is [1, 4, 4, 6], not [batch, height, width, 3]."
    )
    assert refusal(inception_2015(), "pool_3", "DecodeJpeg/contents", 16)[0] == (
        "base.input=DecodeJpeg/contents:0 is of type string, not float32."
    )
    assert refusal(inception_2015(), "pool_3", "Cast", 16)[0] == (
        "base.input=Cast:0 is [?, ?, 3], not [batch, height, width, 3]."
    )
    assert refusal(graph_def, "pool", size_px=9) == [
        "base.size=9 doesn't fit base.input=images:0, which is [1, 8, 8, 3].",
        "Set base.size=8: the graph was frozen for it.",
    ]


def test_a_batch_that_cannot_be_freed():
    def build():
        net = tf.reshape(pooled(images_placeholder()), [1, 6], name="features")
        tf.expand_dims(tf.raw_ops.GatherV2(params=net, indices=0, axis=0, name="picked"), 0, name="flat")

    assert refusal(graph_of(build)) == [
        "The graph only works with a batch of fixed size: picked:0 is [6] for any batch.",
        "Choose tensors before that one, or freeze the graph with a batch of unknown size (None).",
    ]


def test_a_batch_that_is_taken_apart():
    def build():
        net = tf.reshape(pooled(images_placeholder()), [1, 6], name="features")
        tf.expand_dims(tf.unstack(net, name="apart")[0], 0, name="flat")

    assert refusal(graph_of(build))[0] == (
        "The graph only works with a batch of fixed size: apart:0 is [6] for any batch."
    )


def test_places_that_are_mixed_into_the_batch():
    """[batch, 4, 4, 6] as [-1, 6] has an unknown first dimension too: 16 rows per image."""
    graph_def = graph_of(lambda: tf.reshape(convolved(images_placeholder(None)), [-1, 6], name="flat"))
    assert refusal(graph_def)[0] == (
        "The graph only works with a batch of fixed size: the first dimension of its outputs isn't the batch."
    )


def test_a_graph_in_training_mode():
    def build():
        net, empty = convolved(images_placeholder()), tf.constant([], tf.float32)
        ones = tf.ones([6])
        norm = tf.raw_ops.FusedBatchNormV3(
            x=net, scale=ones, offset=ones, mean=empty, variance=empty, is_training=True, name="norm"
        )
        tf.reduce_mean(norm.y, [1, 2], name="flat")

    assert refusal(graph_of(build)) == [
        "The graph was frozen in training mode: norm computes its statistics from the batch.",
        "Freeze it for inference (is_training=False).",
    ]


def test_a_graph_that_tensorflow_rejects():
    graph_def = simple()
    graph_def.node[0].input.append("nowhere")
    assert refusal(graph_def)[0].startswith(f"TensorFlow {tf.__version__} rejects the graph: ")


def test_the_given_graph_is_not_changed():
    graph_def = inception_2015()
    before = graph_def.SerializeToString(deterministic=True)
    cut_graph(graph_def, input_name="Mul", output_names={"pooled": "pool_3"}, size_px=16)
    assert graph_def.SerializeToString(deterministic=True) == before
    assert np.frombuffer(before, np.uint8).size > 1000
