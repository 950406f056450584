"""The top of every network: global pooling, and the layer of ImageNet's classes."""

from __future__ import annotations

from typing import Any

from slimline.stages.backend.slim import slim
from slimline.stages.backend.tensorflow import tf


def add_top(
    net: Any,
    end_points: dict[str, Any],
    *,
    num_classes: int | None,
    is_training: bool,
    dropout_keep: float = 1.0,
    scope: str = "Logits/Conv2d_1c_1x1",
    dense: bool = False,
) -> Any:
    """Average a map [batch, height, width, channels] over height and width, and apply a linear layer.

    The layer's variables are in `scope`: those of a 1x1 convolution, or with `dense` a matrix. `end_points`
    gets `pooled` [batch, channels], and with `num_classes` also `Logits` [batch, num_classes]; the last of
    them is returned. Dropout before the layer is applied only in training.
    """
    pooled = tf.reduce_mean(net, [1, 2], name="pooled")
    end_points["pooled"] = pooled
    if num_classes is None:
        return pooled
    net = tf.nn.dropout(pooled, 1 - dropout_keep) if is_training and dropout_keep < 1 else pooled
    if dense:
        logits = slim.fully_connected(net, num_classes, activation_fn=None, normalizer_fn=None, scope=scope)
    else:
        logits = slim.conv2d(
            net[:, None, None, :], num_classes, [1, 1], activation_fn=None, normalizer_fn=None, scope=scope
        )[:, 0, 0, :]
    end_points["Logits"] = logits
    return logits
