"""ResNet-50, v1 and v2: TF-Slim's own residual units, stacked here to avoid its global collections.

Sources: https://arxiv.org/abs/1512.03385 (v1), https://arxiv.org/abs/1603.05027 (v2);
https://github.com/tensorflow/models/tree/master/research/slim
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from slimline.stages.backend.slim import BATCH_NORM, slim
from slimline.stages.backend.tensorflow import tf
from slimline.stages.networks.architectures.top import add_top

# TF-Slim can be imported only after slimline.stages.backend.slim has patched TensorFlow.
# isort: split
from tf_slim.nets.resnet_utils import conv2d_same, stack_blocks_dense
from tf_slim.nets.resnet_v1 import resnet_v1_block
from tf_slim.nets.resnet_v2 import resnet_v2_block

STEM_FILTERS = 64
BLOCKS_50 = ((64, 3, 2), (128, 4, 2), (256, 6, 2), (512, 3, 1))
"""Width, number and last stride of each block's units; a unit's output has four times its width."""


@contextmanager
def _resnet_scope(is_training: bool) -> Iterator[None]:
    with (
        slim.arg_scope([slim.batch_norm], **BATCH_NORM, decay=0.997, epsilon=1e-5, scale=True, is_training=is_training),
        slim.arg_scope(
            [slim.conv2d],
            activation_fn=tf.nn.relu,
            normalizer_fn=slim.batch_norm,
            weights_initializer=slim.variance_scaling_initializer(),
        ),
        slim.arg_scope([slim.max_pool2d], padding="SAME"),
    ):
        yield


def _add_blocks(net: Any, end_points: dict[str, Any], make_block: Callable[..., Any]) -> Any:
    net = slim.max_pool2d(net, [3, 3], stride=2, scope="pool1")
    for index, (width, units, stride) in enumerate(BLOCKS_50, start=1):
        scope = f"block{index}"
        net = stack_blocks_dense(net, [make_block(scope, base_depth=width, num_units=units, stride=stride)])
        end_points[scope] = net
    return net


def resnet_v1_50(
    images: Any, *, is_training: bool = False, num_classes: int | None = None
) -> tuple[Any, dict[str, Any]]:
    """Run ResNet-v1-50 on images [batch, height, width, 3] float32, minus the training set's mean.

    Returns:
        `(output, end_points)`: the logits [batch, num_classes], or without `num_classes` the pooled
        features [batch, 2048]. `end_points` holds each block's output by its scope, and `pooled`.
    """
    end_points: dict[str, Any] = {}
    with _resnet_scope(is_training), tf.compat.v1.variable_scope("resnet_v1_50"):
        net = end_points["conv1"] = conv2d_same(images, STEM_FILTERS, 7, stride=2, scope="conv1")
        net = _add_blocks(net, end_points, resnet_v1_block)
        output = add_top(net, end_points, num_classes=num_classes, is_training=is_training, scope="logits")
    return output, end_points


def resnet_v2_50(
    images: Any, *, is_training: bool = False, num_classes: int | None = None
) -> tuple[Any, dict[str, Any]]:
    """Run ResNet-v2-50 on images [batch, height, width, 3] float32 in [-1, 1].

    Its units normalize before they convolve. So the first convolution has biases instead of batch norm, and a
    last batch norm, `postnorm`, follows the blocks.

    Returns:
        `(output, end_points)`: the logits [batch, num_classes], or without `num_classes` the pooled
        features [batch, 2048]. `end_points` holds each block's output by its scope, and `pooled`.
    """
    end_points: dict[str, Any] = {}
    with _resnet_scope(is_training), tf.compat.v1.variable_scope("resnet_v2_50"):
        with slim.arg_scope([slim.conv2d], activation_fn=None, normalizer_fn=None):
            net = end_points["conv1"] = conv2d_same(images, STEM_FILTERS, 7, stride=2, scope="conv1")
        net = _add_blocks(net, end_points, resnet_v2_block)
        net = end_points["postnorm"] = slim.batch_norm(net, activation_fn=tf.nn.relu, scope="postnorm")
        output = add_top(net, end_points, num_classes=num_classes, is_training=is_training, scope="logits")
    return output, end_points
