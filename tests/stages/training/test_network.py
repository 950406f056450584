"""Network of a phase: its trainable variables, its cut, and that the cut network computes the same."""

from __future__ import annotations

import numpy as np
import pytest

from slimline.pipeline.errors import UserError
from slimline.stages.backend.tensorflow import tf
from slimline.stages.models.assemble import base_network
from slimline.stages.models.card import Card, input_shape, read_card
from slimline.stages.networks.graphs.symbolic import trace
from slimline.stages.training.network import phase_network, trainable_names
from tests.stages.toy_training import SEEN, SIDE, WIDTH, phase

HEAD = ["Head/Logits/biases", "Head/Logits/weights"]


@pytest.fixture(scope="module")
def card(toys):
    return read_card(toys.head.path)


@pytest.fixture(scope="module")
def values(toys):
    return toys.untrained()


@pytest.fixture(scope="module")
def traced(card):
    return trace(base_network(card), input_shape(card))


def layer(*names):
    """Return the trainable variables of these convolutions."""
    kernel = {"Conv_1_depthwise": "depthwise_weights"}
    return [
        f"Toy/{name}/{inside}"
        for name in names
        for inside in (kernel.get(name, "weights"), "BatchNorm/gamma", "BatchNorm/beta")
    ]


LAYERS = ("Conv_0", "Conv_1_depthwise", "Conv_1_pointwise", "Conv_2")


@pytest.mark.parametrize(
    ("trainable", "wanted"),
    [
        (["head"], []),
        (["all"], layer(*LAYERS)),
        (["Toy"], layer(*LAYERS)),
        (["upper"], layer("Conv_1_pointwise", "Conv_2")),
        (["upper", "Toy/Conv_0"], layer("Conv_0", "Conv_1_pointwise", "Conv_2")),
        (["Toy/Conv_2"], layer("Conv_2")),
        (["Toy/Conv_1_depthwise"], layer("Conv_1_depthwise")),
        (["Toy/Conv_1_depthwise+"], layer("Conv_1_depthwise", "Conv_1_pointwise", "Conv_2")),
        (["Toy/Conv_0+"], layer(*LAYERS)),
        (["Toy/Conv_2", "head", "Toy/Conv_0"], layer("Conv_0", "Conv_2")),
        (["Toy/Conv_0/BatchNorm"], layer("Conv_0")[1:]),
        (["Toy/Conv_2/weights"], layer("Conv_2")[:1]),
    ],
)
def test_scopes_select_the_trainable_variables(traced, trainable, wanted):
    assert sorted(trainable_names(traced, phase(*trainable), "Toy/Conv_1_pointwise+")) == sorted(wanted)


@pytest.mark.parametrize("scope", ["Toy/Conv_3", "Toy/Conv", "Toy/Conv_3+", "Toy/Conv_2/BatchNorm/moving_mean"])
def test_an_unknown_scope_is_reported_with_similar_ones(traced, scope):
    with pytest.raises(UserError) as caught:
        trainable_names(traced, phase("Toy/Conv_0", scope), "")
    problem, advice = str(caught.value).splitlines()
    assert repr(scope) in problem
    assert "Toy/Conv_2" in advice
    assert advice.startswith("Use head, upper, all, or scopes such as: ")


def frozen_card(labels):
    """Return the card of a frozen graph, which projects the mean color to twelve features."""
    with tf.Graph().as_default() as graph:
        images = tf.compat.v1.placeholder(tf.float32, [None, SIDE, SIDE, 3], name="input")
        matrix = tf.constant(np.random.default_rng(0).normal(size=(3, WIDTH)).astype(np.float32))
        tf.matmul(tf.reduce_mean(images, [1, 2]), matrix, name="pooled")
    graph_def = graph.as_graph_def().SerializeToString()
    return Card("frozen_graph", SEEN, labels, {"dropout": 0.0}, "imagenet", "", graph=graph_def)


@pytest.mark.parametrize("trainable", ["all", "upper", "Toy/Conv_2", "pooled+"])
def test_the_layers_of_a_frozen_graph_cannot_be_trained(trainable):
    with pytest.raises(UserError, match="weights of a frozen graph are constants and cannot be trained") as caught:
        phase_network(frozen_card(["a", "b"]), phase(trainable), HEAD, fuse=True)
    assert "trainable=[head]" in str(caught.value)


def test_a_head_on_a_frozen_graph_can_be_trained():
    network = phase_network(frozen_card(["a", "b"]), phase("head", augment=True), HEAD, fuse=True)
    assert network.trainable == network.names == HEAD
    assert network.lower is not None


def logits(network, inputs, values):
    """Run a phase's network on inputs at the cut, and return the logits as validation computes them."""

    def run(inputs):
        reads = {name: tf.constant(values[name]) for name in network.names}
        return network.logits(inputs, reads, 1.0)[0]

    return tf.function(run, autograph=False)(tf.constant(inputs)).numpy()


def at_the_cut(network, images, values):
    def run(images):
        return network.lower.run(images, {name: tf.constant(values[name]) for name in network.lower.feeds})[0]

    return tf.function(run, autograph=False)(tf.constant(images)).numpy() if network.lower else images


@pytest.mark.parametrize("fuse", [True, False])
@pytest.mark.parametrize(
    ("trainable", "cut_at"),
    [
        ("head", (WIDTH,)),
        ("Toy/Conv_2", (8, 8, 8)),
        ("Toy/Conv_1_depthwise", (16, 16, 8)),
        ("Toy/Conv_1_depthwise+", (16, 16, 8)),
        ("all", (SIDE, SIDE, 3)),
    ],
)
def test_a_cut_network_computes_the_same_as_the_whole_network(card, values, trainable, cut_at, fuse):
    wanted = phase(trainable, augment=True)
    cut, whole = (phase_network(card, wanted, HEAD, fuse=fuse, cut=one) for one in (True, False))
    images = np.random.default_rng(0).uniform(-1, 1, (4, SIDE, SIDE, 3)).astype(np.float32)
    maps = at_the_cut(cut, images, values)
    assert maps.shape[1:] == cut_at
    assert logits(cut, maps, values) == pytest.approx(logits(whole, images, values), rel=1e-4, abs=1e-4)
    assert cut.trainable == whole.trainable
    assert set(cut.changing()) <= set(cut.names)


def test_on_features_the_network_is_only_the_head(card, values):
    network = phase_network(card, phase("head"), HEAD, fuse=True, on_features=True)
    assert (network.lower, network.upper) == (None, None)
    features = np.random.default_rng(0).normal(size=(5, WIDTH)).astype(np.float32)
    wanted = features @ values["Head/Logits/weights"] + values["Head/Logits/biases"]
    assert logits(network, features, values) == pytest.approx(wanted, rel=1e-4, abs=1e-5)
