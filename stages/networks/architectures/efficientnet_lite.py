"""EfficientNet-Lite in TF-Slim: MobileNet-v2's inverted bottlenecks at EfficientNet's sizes.

It has no squeeze-and-excite, and ReLU6 instead of swish, so that it quantizes well. The stem and the head have
the same width at every scale. Source: https://blog.tensorflow.org/2020/03/higher-accuracy-on-vision-models-with-efficientnet-lite.html
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from slimline.stages.backend.slim import slim
from slimline.stages.backend.tensorflow import tf
from slimline.stages.networks.architectures.blocks import Blocks, add_inverted_bottlenecks, mobile_scope, scale_filters
from slimline.stages.networks.architectures.top import add_top

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


def scale_repeats(blocks: tuple[Blocks, ...], depth: float) -> list[Blocks]:
    """Scale the number of repeats, except of the first and the last run, as the Lite family does."""
    last = len(blocks) - 1
    return [
        run if index in (0, last) else run._replace(repeats=math.ceil(run.repeats * depth))
        for index, run in enumerate(blocks)
    ]


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
    initializer = tf.compat.v1.variance_scaling_initializer(2.0, mode="fan_out")
    with mobile_scope(scope, is_training=is_training, decay=0.99, initializer=initializer):
        net = slim.conv2d(images, STEM_FILTERS, [3, 3], stride=2, scope="Conv")
        runs = [run._replace(filters=scale_filters(run.filters, width)) for run in scale_repeats(BLOCKS, depth)]
        net = add_inverted_bottlenecks(net, end_points, runs)
        net = slim.conv2d(net, HEAD_FILTERS, [1, 1], scope="Conv_1")
        end_points["Conv_1"] = net
        output = add_top(net, end_points, num_classes=num_classes, is_training=is_training, dropout_keep=dropout_keep)
    return output, end_points


efficientnet_lite0 = partial(efficientnet_lite, width=1.0, depth=1.0, scope="EfficientnetLite0")
efficientnet_lite1 = partial(efficientnet_lite, width=1.0, depth=1.1, scope="EfficientnetLite1")
efficientnet_lite2 = partial(efficientnet_lite, width=1.1, depth=1.2, dropout_keep=0.7, scope="EfficientnetLite2")
