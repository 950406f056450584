"""A tiny network in TF-Slim: four convolutions without pre-trained weights."""

from __future__ import annotations

from typing import Any

from slimline.stages.backend.slim import slim
from slimline.stages.networks.architectures.blocks import mobile_scope
from slimline.stages.networks.architectures.top import add_top

FILTERS = (16, 32, 64, 128)


def tiny(images: Any, *, is_training: bool = False, num_classes: int | None = None) -> tuple[Any, dict[str, Any]]:
    """Run the network on images [batch, height, width, 3] float32 in [-1, 1].

    Returns:
        `(output, end_points)`: the logits [batch, num_classes], or without `num_classes` the features [batch, 128].
    """
    end_points: dict[str, Any] = {}
    net = images
    with mobile_scope("Tiny", is_training=is_training, decay=0.99):
        for number, filters in enumerate(FILTERS):
            scope = f"Conv_{number}"
            net = end_points[scope] = slim.conv2d(net, filters, [3, 3], stride=2, scope=scope)
        output = add_top(net, end_points, num_classes=num_classes, is_training=is_training)
    return output, end_points
