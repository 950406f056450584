"""Building blocks of MobileNet and EfficientNet-Lite: layers with ReLU6 and batch norm, inverted bottlenecks.

Source: https://arxiv.org/abs/1801.04381
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from slimline.stages.backend.slim import BATCH_NORM, slim
from slimline.stages.backend.tensorflow import tf


class Blocks(NamedTuple):
    """A sequence of inverted bottlenecks. The first one has the stride; the others keep the size."""

    repeats: int
    kernel_px: int
    stride: int
    expansion: int
    filters: int


@contextmanager
def mobile_scope(scope: str, *, is_training: bool, decay: float, initializer: Any = None) -> Iterator[None]:
    """Enter a network's variable scope, and set the common options of its convolutions; `decay` is batch norm's.

    Without an initializer, weights are initialized like those of the zoo's MobileNet.
    """
    batch_norm = {**BATCH_NORM, "decay": decay, "epsilon": 0.001, "scale": True, "is_training": is_training}
    with (
        slim.arg_scope(
            [slim.conv2d, slim.separable_conv2d],
            activation_fn=tf.nn.relu6,
            normalizer_fn=slim.batch_norm,
            normalizer_params=batch_norm,
            weights_initializer=initializer or tf.compat.v1.truncated_normal_initializer(stddev=0.09),
            padding="SAME",
        ),
        tf.compat.v1.variable_scope(scope),
    ):
        yield


def scale_filters(filters: int, width: float) -> int:
    """Scale a channel count to a multiple of 8, at most a tenth below the exact value."""
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

    Each output is added to `end_points` by its scope. The first scope has no index.
    """
    index = 0
    for run in runs:
        for repeat in range(run.repeats):
            scope = f"expanded_conv_{index}" if index else "expanded_conv"
            net = _inverted_bottleneck(net, run, run.stride if repeat == 0 else 1, scope)
            end_points[scope] = net
            index += 1
    return net
