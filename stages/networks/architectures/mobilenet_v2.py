"""MobileNet-v2 in TF-Slim, with the variables of the TF-Slim model zoo.

Sources: https://arxiv.org/abs/1801.04381; https://github.com/tensorflow/models/tree/master/research/slim
"""

from __future__ import annotations

from typing import Any

from slimline.stages.backend.slim import slim
from slimline.stages.networks.architectures.blocks import Blocks, add_inverted_bottlenecks, mobile_scope, scale_filters
from slimline.stages.networks.architectures.top import add_top

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
    with mobile_scope("MobilenetV2", is_training=is_training, decay=0.997):
        net = slim.conv2d(images, scale_filters(STEM_FILTERS, multiplier), [3, 3], stride=2, scope="Conv")
        end_points["Conv"] = net
        runs = [run._replace(filters=scale_filters(run.filters, multiplier)) for run in BLOCKS]
        net = add_inverted_bottlenecks(net, end_points, runs)
        net = slim.conv2d(net, scale_filters(HEAD_FILTERS, max(1.0, multiplier)), [1, 1], scope="Conv_1")
        end_points["Conv_1"] = net
        output = add_top(net, end_points, num_classes=num_classes, is_training=is_training, dropout_keep=0.8)
    return output, end_points
