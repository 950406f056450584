"""A cosine head: each class is a direction, and the logits are the cosines between the features and the directions.

Source: https://arxiv.org/abs/1804.09458
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slimline.stages.backend.tensorflow import tf
from slimline.stages.networks.architectures.head_scope import SCOPE


def make_cosine_head(num_classes: int, *, dropout: float = 0.0, scale: float = 16.0) -> Callable[..., Any]:
    """Return a head: a function from features [batch, width] float32 to logits [batch, num_classes]."""

    def head(features: Any, *, is_training: bool = False, dropout_seed: Any = None) -> tuple[Any, dict[str, Any]]:
        if is_training and dropout:
            features = tf.nn.experimental.stateless_dropout(features, dropout, seed=dropout_seed)
        with tf.compat.v1.variable_scope(SCOPE):
            directions = tf.compat.v1.get_variable(
                "directions",
                [features.shape[-1], num_classes],
                initializer=tf.compat.v1.glorot_uniform_initializer(),
            )
            logits = scale * tf.nn.l2_normalize(features, 1) @ tf.nn.l2_normalize(directions, 0)
        return logits, {"Logits": logits}

    return head
