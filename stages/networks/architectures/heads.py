"""Heads in TF-Slim: layers from a base's bottleneck to the logits of the user's own classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from slimline.stages.backend.slim import slim
from slimline.stages.backend.tensorflow import tf
from slimline.stages.networks.architectures.head_scope import SCOPE

ACTIVATIONS = {"relu": tf.nn.relu, "relu6": tf.nn.relu6, "swish": tf.nn.swish, "tanh": tf.nn.tanh}


def make_head(
    num_classes: int, *, widths: Sequence[int] = (), dropout: float = 0.0, activation: str = "relu"
) -> Callable[..., Any]:
    """Make a head: hidden layers of the given widths, then one layer of `num_classes` logits.

    Without widths it is linear. It maps features [batch, width] float32 to logits [batch,
    num_classes]. In training, `dropout_seed` [2] int decides what is dropped before each layer, so
    that a resumed training drops the same features.
    """

    def head(features: Any, *, is_training: bool = False, dropout_seed: Any = None) -> tuple[Any, dict[str, Any]]:
        def dropped(net: Any, layer: int) -> Any:
            if not is_training or not dropout:
                return net
            return tf.nn.experimental.stateless_dropout(net, dropout, seed=dropout_seed + [0, layer])

        net, end_points = features, {}
        with tf.compat.v1.variable_scope(SCOPE):
            for layer, width in enumerate(widths):
                scope = f"fc_{layer + 1}"
                net = slim.fully_connected(
                    dropped(net, layer), width, activation_fn=ACTIVATIONS[activation], scope=scope
                )
                end_points[scope] = net
            logits = slim.fully_connected(dropped(net, len(widths)), num_classes, activation_fn=None, scope="Logits")
        end_points["Logits"] = logits
        return logits, end_points

    return head
