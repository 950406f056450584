"""MobileNet-v2 in TF-Slim, with the variables of the TF-Slim model zoo.

Sources: https://arxiv.org/abs/1801.04381; https://github.com/tensorflow/models/tree/master/research/slim
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from stages.networks.slim import BATCH_NORM, slim
from stages.networks.top import add_top
from stages.tensorflow import tf


class Blocks(NamedTuple):
    """A run of inverted bottlenecks; the first of them strides, the rest keep their size."""

    repeats: int
    kernel_px: int
    stride: int
    expansion: int
    filters: int


BLOCKS = (
    Blocks(1, 3, 1, 1, 16),
    Blocks(2, 3, 2, 6, 24),
    Blocks(3, 3, 2, 6, 32),
    Blocks(4, 3, 2, 6, 64),
    Blocks(3, 3, 1, 6, 96),
    Blocks(3, 3, 2, 6, 160),
    Blocks(1, 3, 1, 6, 320),
)
STEM_FILTERS = 32
HEAD_FILTERS = 1280


def scale_filters(filters: int, width: float) -> int:
    """Scale a channel count to a multiple of 8, never more than a tenth below what was asked."""
    scaled = max(8, int(filters * width + 4) // 8 * 8)
    return scaled + 8 if scaled < 0.9 * filters * width else scaled


def _inverted_bottleneck(inputs: Any, run: Blocks, stride: int, scope: str) -> Any:
    net = inputs
    with tf.compat.v1.variable_scope(scope):
        if run.expansion > 1:
            net = slim.conv2d(net, inputs.shape[-1] * run.expansion, [1, 1], scope="expand")
        net = slim.separable_conv2d(net, None, [run.kernel_px, run.kernel_px], 1, stride=stride, scope="depthwise")
        net = slim.conv2d(net, run.filters, [1, 1], activation_fn=None, scope="project")
        if stride == 1 and inputs.shape[-1] == run.filters:
            net = net + inputs
    return net


def add_inverted_bottlenecks(net: Any, end_points: dict[str, Any], runs: Sequence[Blocks]) -> Any:
    """Run inverted bottlenecks on a map [batch, height, width, channels], each in a scope `expanded_conv_<index>`.

    Each one's output is put among `end_points` by its scope; the first scope has no index.
    """
    index = 0
    for run in runs:
        for repeat in range(run.repeats):
            scope = f"expanded_conv_{index}" if index else "expanded_conv"
            net = _inverted_bottleneck(net, run, run.stride if repeat == 0 else 1, scope)
            end_points[scope] = net
            index += 1
    return net


def mobilenet_v2(
    images: Any, *, is_training: bool = False, num_classes: int | None = None, multiplier: float = 1.0
) -> tuple[Any, dict[str, Any]]:
    """Run MobileNet-v2 on images [batch, height, width, 3] float32 in [-1, 1].

    `multiplier` scales the number of each layer's channels; 1.4, 1.3, 1.0, 0.75, 0.5 and 0.35 are
    published. The last convolution is never narrower than 1280, as in the published checkpoints.

    Returns:
        `(output, end_points)`: the logits [batch, num_classes], or without `num_classes` the pooled
        features [batch, 1280 or more]. `end_points` holds each block's output by its scope, and `pooled`.
    """
    end_points: dict[str, Any] = {}
    batch_norm = {**BATCH_NORM, "decay": 0.997, "epsilon": 0.001, "scale": True, "is_training": is_training}
    with (
        slim.arg_scope(
            [slim.conv2d, slim.separable_conv2d],
            activation_fn=tf.nn.relu6,
            normalizer_fn=slim.batch_norm,
            normalizer_params=batch_norm,
            weights_initializer=tf.compat.v1.truncated_normal_initializer(stddev=0.09),
            padding="SAME",
        ),
        tf.compat.v1.variable_scope("MobilenetV2"),
    ):
        net = slim.conv2d(images, scale_filters(STEM_FILTERS, multiplier), [3, 3], stride=2, scope="Conv")
        end_points["Conv"] = net
        runs = [run._replace(filters=scale_filters(run.filters, multiplier)) for run in BLOCKS]
        net = add_inverted_bottlenecks(net, end_points, runs)
        net = slim.conv2d(net, scale_filters(HEAD_FILTERS, max(1.0, multiplier)), [1, 1], scope="Conv_1")
        end_points["Conv_1"] = net
        output = add_top(net, end_points, num_classes=num_classes, is_training=is_training, dropout_keep=0.8)
    return output, end_points
