"""Multiply-adds, compared with counts by hand."""

from __future__ import annotations

from slimline.stages.backend.tensorflow import tf
from slimline.stages.networks.graphs.cost import multiply_adds


def graph():
    with tf.Graph().as_default() as made:
        images = tf.compat.v1.placeholder(tf.float32, [None, 8, 6, 3])
        net = tf.nn.conv2d(images, tf.zeros([3, 3, 3, 16]), 2, "SAME", name="conv")
        net = tf.nn.depthwise_conv2d(net, tf.zeros([3, 3, 16, 1]), [1, 1, 1, 1], "SAME", name="depthwise")
        tf.matmul(tf.reduce_mean(net, [1, 2]), tf.zeros([16, 5]), name="Logits/product")
    return made


def test_each_layer_counts_its_kernel_at_each_place():
    convolution, depthwise, product = 4 * 3 * 3 * 3 * 3 * 16, 4 * 3 * 3 * 3 * 16, 16 * 5
    assert multiply_adds(graph()) == convolution + depthwise + product
    assert multiply_adds(graph(), lambda name: not name.startswith("Logits/")) == convolution + depthwise
