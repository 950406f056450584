"""Gradients of 1x1 convolutions as matrix products."""

from __future__ import annotations

from typing import Any

from slimline.stages.backend.tensorflow import tf
from slimline.stages.networks.graphs.folding import node_name
from slimline.stages.networks.graphs.symbolic import Symbolic

GRADIENT = "PointwiseConv2D"


def use_products(network: Symbolic) -> Symbolic:
    """Make TensorFlow differentiate the network's 1x1 convolutions of stride 1 by matrix products.

    Over all places n, y[n, c'] = sum over c of x[n, c] w[c, c']; so dx = dy w^T and dw = x^T dy. Kernels must be
    variables: call this before batch norm is fused.
    """
    kernels = {
        node_name(feed) for name, feed in network.feeds.items() if tuple(network.variables[name].shape[:2]) == (1, 1)
    }
    graph_def = tf.compat.v1.GraphDef()
    graph_def.CopyFrom(network.graph_def)
    for node in graph_def.node:
        if node.op == "Conv2D" and set(node.attr["strides"].list.i) == {1} and node_name(node.input[1]) in kernels:
            node.attr["_gradient_op_type"].s = GRADIENT.encode()
    return network._replace(graph_def=graph_def)


@tf.RegisterGradient(GRADIENT)  # type: ignore[untyped-decorator]  # TensorFlow has no type annotations
def _products(convolution: Any, gradient: Any) -> tuple[Any, Any]:
    images, kernel = convolution.inputs
    given, made = kernel.shape[2:]
    outputs = tf.reshape(gradient, [-1, made])
    of_images = tf.matmul(outputs, tf.reshape(kernel, [given, made]), transpose_b=True)
    of_kernel = tf.matmul(tf.reshape(images, [-1, given]), outputs, transpose_a=True)
    return tf.reshape(of_images, tf.shape(images)), tf.reshape(of_kernel, tf.shape(kernel))
