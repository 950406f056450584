"""Inception v1, v2 and v3: TF-Slim's own networks, with a top that takes images of any size.

Sources: https://arxiv.org/abs/1409.4842 (v1), https://arxiv.org/abs/1502.03167 (v2),
https://arxiv.org/abs/1512.00567 (v3); https://github.com/tensorflow/models/tree/master/research/slim
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from slimline.stages.backend.slim import BATCH_NORM, slim
from slimline.stages.backend.tensorflow import tf
from slimline.stages.networks.architectures.top import add_top

# TF-Slim can be imported only after slimline.stages.backend.slim has patched TensorFlow.
# isort: split
from tf_slim.nets.inception_v1 import inception_v1_base
from tf_slim.nets.inception_v2 import inception_v2_base
from tf_slim.nets.inception_v3 import inception_v3_base

DROPOUT_KEEP = 0.8
AUXILIARY_PX = 5
"""The size of the map that the auxiliary head's kernel covers, for images of 299 px."""


@contextmanager
def inception_scope(is_training: bool) -> Iterator[None]:
    """Set the common options of the family's convolutions: ReLU after batch norm without a scale.

    The zoo uses no batch norm after separable convolutions; v2's first layer is the only one.
    """
    with (
        slim.arg_scope([slim.batch_norm], **BATCH_NORM, decay=0.9997, epsilon=0.001, is_training=is_training),
        slim.arg_scope(
            [slim.conv2d],
            activation_fn=tf.nn.relu,
            normalizer_fn=slim.batch_norm,
            weights_initializer=slim.variance_scaling_initializer(),
        ),
    ):
        yield


def _inception(
    images: Any,
    *,
    is_training: bool = False,
    num_classes: int | None = None,
    base: Callable[..., tuple[Any, dict[str, Any]]],
    scope: str,
    logits_scope: str,
) -> tuple[Any, dict[str, Any]]:
    """Run Inception on images [batch, height, width, 3] float32 in [-1, 1].

    Returns:
        `(output, end_points)`: the logits [batch, num_classes], or without `num_classes` the pooled
        features [batch, 1024]. `end_points` holds each block's output by its scope, and `pooled`.
    """
    with inception_scope(is_training), tf.compat.v1.variable_scope(scope) as entered:
        net, end_points = base(images, scope=entered)
        output = add_top(
            net,
            end_points,
            num_classes=num_classes,
            is_training=is_training,
            dropout_keep=DROPOUT_KEEP,
            scope=logits_scope,
        )
    return output, end_points


# Both are called as `_inception` says: (images, *, is_training=False, num_classes=None).
inception_v1 = partial(_inception, base=inception_v1_base, scope="InceptionV1", logits_scope="Logits/Conv2d_0c_1x1")
inception_v2 = partial(_inception, base=inception_v2_base, scope="InceptionV2", logits_scope="Logits/Conv2d_1c_1x1")


def auxiliary_features(net: Any, scope: str, **options: Any) -> Any:
    """Run the common part of the auxiliary heads of v3 and v4: a map [batch, height, width, channels] to [batch, 768].

    `scope` and `options` are those of the last convolution. Its kernel covers the whole map at 299 px. A smaller
    map is padded with zeros, and a larger result is averaged, so that the variables have one shape at all sizes.
    """
    height, width = net.shape[1:3]
    window = [min(AUXILIARY_PX, height), min(AUXILIARY_PX, width)]
    net = slim.avg_pool2d(net, window, stride=3, padding="VALID", scope="AvgPool_1a_5x5")
    net = slim.conv2d(net, 128, [1, 1], scope="Conv2d_1b_1x1")
    missing = [max(0, AUXILIARY_PX - side) for side in net.shape[1:3]]
    net = tf.pad(net, [[0, 0], *([side // 2, side - side // 2] for side in missing), [0, 0]])
    net = slim.conv2d(net, 768, [AUXILIARY_PX, AUXILIARY_PX], padding="VALID", scope=scope, **options)
    return tf.reduce_mean(net, [1, 2])


def inception_v3(
    images: Any, *, is_training: bool = False, num_classes: int | None = None, aux_logits: bool = False
) -> tuple[Any, dict[str, Any]]:
    """Run Inception-v3 on images [batch, height, width, 3] float32 in [-1, 1], at least 75 px high and wide.

    Returns:
        `(output, end_points)`: the logits [batch, num_classes], or without `num_classes` the pooled
        features [batch, 2048]. `end_points` holds each block's output by its scope, and `pooled`; with
        `aux_logits` and `num_classes` also `AuxLogits` [batch, num_classes].
    """

    def base(images: Any, scope: Any) -> tuple[Any, dict[str, Any]]:
        net, end_points = inception_v3_base(images, scope=scope)
        if aux_logits and num_classes is not None:
            end_points["AuxLogits"] = _auxiliary_logits(end_points["Mixed_6e"], num_classes)
        return net, end_points

    return _inception(
        images,
        is_training=is_training,
        num_classes=num_classes,
        base=base,
        scope="InceptionV3",
        logits_scope="Logits/Conv2d_1c_1x1",
    )


def _auxiliary_logits(net: Any, num_classes: int) -> Any:
    with tf.compat.v1.variable_scope("AuxLogits"):
        initializer = tf.compat.v1.truncated_normal_initializer(0.0, 0.01)
        features = auxiliary_features(net, "Conv2d_2a_5x5", weights_initializer=initializer)
        return slim.conv2d(
            features[:, None, None, :],
            num_classes,
            [1, 1],
            activation_fn=None,
            normalizer_fn=None,
            weights_initializer=tf.compat.v1.truncated_normal_initializer(0.0, 0.001),
            scope="Conv2d_2b_1x1",
        )[:, 0, 0, :]
