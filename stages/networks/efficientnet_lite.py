"""EfficientNet-Lite in TF-Slim: MobileNet-v2's inverted bottlenecks at EfficientNet's sizes.

No squeeze-and-excite and ReLU6 for swish, so that it quantises well. The stem and the head keep
their width at every scale. Source: https://blog.tensorflow.org/2020/03/higher-accuracy-on-vision-models-with-efficientnet-lite.html
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

from stages.networks.slim import BATCH_NORM, slim
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
    Blocks(2, 5, 2, 6, 40),
    Blocks(3, 3, 2, 6, 80),
    Blocks(3, 5, 1, 6, 112),
    Blocks(4, 5, 2, 6, 192),
    Blocks(1, 3, 1, 6, 320),
)
STEM_FILTERS = 32
HEAD_FILTERS = 1280


def scale_filters(filters: int, width: float) -> int:
    """Scale a channel count to a multiple of 8, never more than a tenth below what was asked."""
    scaled = max(8, int(filters * width + 4) // 8 * 8)
    return scaled + 8 if scaled < 0.9 * filters * width else scaled


def scale_repeats(blocks: tuple[Blocks, ...], depth: float) -> list[Blocks]:
    """Scale the number of repeats, except of the first and the last run, as the Lite family does."""
    last = len(blocks) - 1
    return [
        run if index in (0, last) else run._replace(repeats=math.ceil(run.repeats * depth))
        for index, run in enumerate(blocks)
    ]


def _inverted_bottleneck(inputs: Any, run: Blocks, stride: int, filters: int, scope: str) -> Any:
    net = inputs
    with tf.compat.v1.variable_scope(scope):
        if run.expansion > 1:
            net = slim.conv2d(net, inputs.shape[-1] * run.expansion, [1, 1], scope="expand")
        net = slim.separable_conv2d(net, None, [run.kernel_px, run.kernel_px], 1, stride=stride, scope="depthwise")
        net = slim.conv2d(net, filters, [1, 1], activation_fn=None, scope="project")
        if stride == 1 and inputs.shape[-1] == filters:
            net = net + inputs
    return net


def efficientnet_lite(
    images: Any,
    *,
    is_training: bool = False,
    num_classes: int | None = None,
    width: float = 1.0,
    depth: float = 1.0,
    dropout_keep: float = 0.8,
    scope: str = "EfficientnetLite0",
) -> tuple[Any, dict[str, Any]]:
    """Run EfficientNet-Lite on images [batch, height, width, 3] float32, (x - 127) / 128.

    Returns:
        `(output, end_points)`: the logits [batch, num_classes], or without `num_classes` the pooled
        features [batch, 1280]. `end_points` holds each block's output by its scope, and `pooled`.
    """
    end_points: dict[str, Any] = {}
    batch_norm = {**BATCH_NORM, "decay": 0.99, "epsilon": 1e-3, "scale": True, "is_training": is_training}
    with (
        slim.arg_scope(
            [slim.conv2d, slim.separable_conv2d],
            activation_fn=tf.nn.relu6,
            normalizer_fn=slim.batch_norm,
            normalizer_params=batch_norm,
            weights_initializer=tf.compat.v1.variance_scaling_initializer(2.0, mode="fan_out"),
            padding="SAME",
        ),
        tf.compat.v1.variable_scope(scope),
    ):
        net = slim.conv2d(images, STEM_FILTERS, [3, 3], stride=2, scope="Conv")
        index = 0
        for run in scale_repeats(BLOCKS, depth):
            for repeat in range(run.repeats):
                name = f"expanded_conv_{index}" if index else "expanded_conv"
                stride = run.stride if repeat == 0 else 1
                net = _inverted_bottleneck(net, run, stride, scale_filters(run.filters, width), name)
                end_points[name] = net
                index += 1
        net = slim.conv2d(net, HEAD_FILTERS, [1, 1], scope="Conv_1")
        end_points["Conv_1"] = net
        net = tf.reduce_mean(net, [1, 2], name="pooled")
        end_points["pooled"] = net
        if num_classes is not None:
            with tf.compat.v1.variable_scope("Logits"):
                if is_training:
                    net = tf.nn.dropout(net, 1 - dropout_keep)
                net = slim.conv2d(
                    net[:, None, None, :],
                    num_classes,
                    [1, 1],
                    activation_fn=None,
                    normalizer_fn=None,
                    scope="Conv2d_1c_1x1",
                )[:, 0, 0, :]
            end_points["Logits"] = net
    return net, end_points


efficientnet_lite0 = partial(efficientnet_lite, width=1.0, depth=1.0, scope="EfficientnetLite0")
