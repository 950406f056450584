"""MobileNet-v1 in TF-Slim, with the variables of the TF-Slim model zoo.

Sources: https://arxiv.org/abs/1704.04861; https://github.com/tensorflow/models/tree/master/research/slim
"""

from __future__ import annotations

from typing import Any

from slimline.stages.backend.slim import slim
from slimline.stages.networks.architectures.blocks import mobile_scope
from slimline.stages.networks.architectures.top import add_top

STEM_FILTERS = 32
LAYERS = ((1, 64), (2, 128), (1, 128), (2, 256), (1, 256), (2, 512), *[(1, 512)] * 5, (2, 1024), (1, 1024))
"""Stride and filters of each depthwise convolution with the 1x1 convolution after it."""
MIN_FILTERS = 8


def mobilenet_v1(
    images: Any, *, is_training: bool = False, num_classes: int | None = None, multiplier: float = 1.0
) -> tuple[Any, dict[str, Any]]:
    """Run MobileNet-v1 on images [batch, height, width, 3] float32 in [-1, 1].

    `multiplier` scales the number of each layer's channels; 1.0, 0.75, 0.5 and 0.25 are published.

    Returns:
        `(output, end_points)`: the logits [batch, num_classes], or without `num_classes` the pooled
        features [batch, 1024 * multiplier]. `end_points` holds each layer's output by its scope, and `pooled`.
    """

    def scaled(filters: int) -> int:
        return max(MIN_FILTERS, int(filters * multiplier))

    end_points: dict[str, Any] = {}
    with mobile_scope("MobilenetV1", is_training=is_training, decay=0.9997):
        net = slim.conv2d(images, scaled(STEM_FILTERS), [3, 3], stride=2, scope="Conv2d_0")
        end_points["Conv2d_0"] = net
        for index, (stride, filters) in enumerate(LAYERS, start=1):
            scope = f"Conv2d_{index}_depthwise"
            net = end_points[scope] = slim.separable_conv2d(net, None, [3, 3], 1, stride=stride, scope=scope)
            scope = f"Conv2d_{index}_pointwise"
            net = end_points[scope] = slim.conv2d(net, scaled(filters), [1, 1], scope=scope)
        output = add_top(net, end_points, num_classes=num_classes, is_training=is_training, dropout_keep=0.999)
    return output, end_points
