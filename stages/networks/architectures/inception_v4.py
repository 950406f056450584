"""Inception-v4 in TF-Slim, with the variables of the TF-Slim model zoo.

Sources: https://arxiv.org/abs/1602.07261; https://github.com/tensorflow/models/tree/master/research/slim
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

from slimline.stages.backend.slim import slim
from slimline.stages.backend.tensorflow import tf
from slimline.stages.networks.architectures.inception import DROPOUT_KEEP, auxiliary_features, inception_scope
from slimline.stages.networks.architectures.top import add_top


class Layer(NamedTuple):
    """A convolution, or without `filters` a pooling; its scope ends with the size of its kernel, such as `_1x7`."""

    scope: str
    filters: int | None = None
    stride: int = 1
    padding: str = "SAME"


class Fork(NamedTuple):
    """Two convolutions of the same inputs, side by side."""

    left: Layer
    right: Layer


Branch = tuple[Layer | Fork, ...]
valid = partial(Layer, padding="VALID")
halving = partial(Layer, stride=2, padding="VALID")

STEM = (halving("Conv2d_1a_3x3", 32), valid("Conv2d_2a_3x3", 32), Layer("Conv2d_2b_3x3", 64))

INCEPTION_A: tuple[Branch, ...] = (
    (Layer("Conv2d_0a_1x1", 96),),
    (Layer("Conv2d_0a_1x1", 64), Layer("Conv2d_0b_3x3", 96)),
    (Layer("Conv2d_0a_1x1", 64), Layer("Conv2d_0b_3x3", 96), Layer("Conv2d_0c_3x3", 96)),
    (Layer("AvgPool_0a_3x3"), Layer("Conv2d_0b_1x1", 96)),
)
INCEPTION_B: tuple[Branch, ...] = (
    (Layer("Conv2d_0a_1x1", 384),),
    (Layer("Conv2d_0a_1x1", 192), Layer("Conv2d_0b_1x7", 224), Layer("Conv2d_0c_7x1", 256)),
    (
        Layer("Conv2d_0a_1x1", 192),
        Layer("Conv2d_0b_7x1", 192),
        Layer("Conv2d_0c_1x7", 224),
        Layer("Conv2d_0d_7x1", 224),
        Layer("Conv2d_0e_1x7", 256),
    ),
    (Layer("AvgPool_0a_3x3"), Layer("Conv2d_0b_1x1", 128)),
)
INCEPTION_C: tuple[Branch, ...] = (
    (Layer("Conv2d_0a_1x1", 256),),
    (Layer("Conv2d_0a_1x1", 384), Fork(Layer("Conv2d_0b_1x3", 256), Layer("Conv2d_0c_3x1", 256))),
    (
        Layer("Conv2d_0a_1x1", 384),
        Layer("Conv2d_0b_3x1", 448),
        Layer("Conv2d_0c_1x3", 512),
        Fork(Layer("Conv2d_0d_1x3", 256), Layer("Conv2d_0e_3x1", 256)),
    ),
    (Layer("AvgPool_0a_3x3"), Layer("Conv2d_0b_1x1", 256)),
)
BLOCKS: dict[str, tuple[Branch, ...]] = {
    "Mixed_3a": ((halving("MaxPool_0a_3x3"),), (halving("Conv2d_0a_3x3", 96),)),
    "Mixed_4a": (
        (Layer("Conv2d_0a_1x1", 64), valid("Conv2d_1a_3x3", 96)),
        (
            Layer("Conv2d_0a_1x1", 64),
            Layer("Conv2d_0b_1x7", 64),
            Layer("Conv2d_0c_7x1", 64),
            valid("Conv2d_1a_3x3", 96),
        ),
    ),
    "Mixed_5a": ((halving("Conv2d_1a_3x3", 192),), (halving("MaxPool_1a_3x3"),)),
    **dict.fromkeys(("Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_5e"), INCEPTION_A),
    "Mixed_6a": (
        (halving("Conv2d_1a_3x3", 384),),
        (Layer("Conv2d_0a_1x1", 192), Layer("Conv2d_0b_3x3", 224), halving("Conv2d_1a_3x3", 256)),
        (halving("MaxPool_1a_3x3"),),
    ),
    **dict.fromkeys([f"Mixed_6{letter}" for letter in "bcdefgh"], INCEPTION_B),
    "Mixed_7a": (
        (Layer("Conv2d_0a_1x1", 192), halving("Conv2d_1a_3x3", 192)),
        (
            Layer("Conv2d_0a_1x1", 256),
            Layer("Conv2d_0b_1x7", 256),
            Layer("Conv2d_0c_7x1", 320),
            halving("Conv2d_1a_3x3", 320),
        ),
        (halving("MaxPool_1a_3x3"),),
    ),
    **dict.fromkeys(("Mixed_7b", "Mixed_7c", "Mixed_7d"), INCEPTION_C),
}
AUXILIARY_BLOCK = "Mixed_6h"


def _layer(net: Any, layer: Layer) -> Any:
    kernel = [int(side) for side in layer.scope.rpartition("_")[2].split("x")]
    options = {"stride": layer.stride, "padding": layer.padding, "scope": layer.scope}
    if layer.filters is not None:
        return slim.conv2d(net, layer.filters, kernel, **options)
    pool = slim.max_pool2d if layer.scope.startswith("MaxPool") else slim.avg_pool2d
    return pool(net, kernel, **options)


def _part(net: Any, part: Layer | Fork) -> Any:
    if isinstance(part, Fork):
        return tf.concat([_layer(net, part.left), _layer(net, part.right)], 3)
    return _layer(net, part)


def _block(inputs: Any, branches: tuple[Branch, ...], scope: str) -> Any:
    outputs = []
    with tf.compat.v1.variable_scope(scope):
        for index, branch in enumerate(branches):
            net = inputs
            with tf.compat.v1.variable_scope(f"Branch_{index}"):
                for part in branch:
                    net = _part(net, part)
            outputs.append(net)
        return tf.concat(outputs, 3)


def inception_v4(
    images: Any, *, is_training: bool = False, num_classes: int | None = None, aux_logits: bool = False
) -> tuple[Any, dict[str, Any]]:
    """Run Inception-v4 on images [batch, height, width, 3] float32 in [-1, 1], at least 75 px high and wide.

    Returns:
        `(output, end_points)`: the logits [batch, num_classes], or without `num_classes` the pooled
        features [batch, 1536]. `end_points` holds each block's output by its scope, and `pooled`; with
        `aux_logits` and `num_classes` also `AuxLogits` [batch, num_classes].
    """
    end_points: dict[str, Any] = {}
    with inception_scope(is_training), tf.compat.v1.variable_scope("InceptionV4"):
        net = images
        for layer in STEM:
            net = end_points[layer.scope] = _layer(net, layer)
        for scope, branches in BLOCKS.items():
            net = end_points[scope] = _block(net, branches, scope)
        if aux_logits and num_classes is not None:
            with tf.compat.v1.variable_scope("AuxLogits"):
                features = auxiliary_features(end_points[AUXILIARY_BLOCK], "Conv2d_2a")
                end_points["AuxLogits"] = slim.fully_connected(
                    features, num_classes, activation_fn=None, scope="Aux_logits"
                )
        output = add_top(
            net,
            end_points,
            num_classes=num_classes,
            is_training=is_training,
            dropout_keep=DROPOUT_KEEP,
            scope="Logits/Logits",
            dense=True,
        )
    return output, end_points
