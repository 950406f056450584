"""Batch norm in training: frozen and fused into convolutions, or with each batch's own statistics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np

from slimline.stages.backend.tensorflow import tf
from slimline.stages.networks.graphs.folding import BATCH_NORMS, CONVOLUTIONS, constant_node, node_name
from slimline.stages.networks.graphs.symbolic import Symbolic


def fuse_frozen(network: Symbolic) -> Symbolic:
    """Fuse each batch norm in inference mode that follows a convolution: its scale is multiplied into the kernel.

    y = gamma (w*x - mean) / sqrt(variance + epsilon) + beta becomes (w s)*x + (beta - mean s), s = gamma /
    sqrt(variance + epsilon), computed at each step from the variables. It is the same function of all variables,
    with the same gradients, and TensorFlow fuses convolution, offset and activation into one operation. Other batch
    norms, and those whose convolution has other uses too, are not changed.
    """
    nodes = {node.name: node for node in network.graph_def.node}
    uses = Counter(node_name(name) for node in network.graph_def.node for name in node.input)
    others = {name for node in network.graph_def.node for name in node.input if ":" in name}
    graph_def = tf.compat.v1.GraphDef(versions=network.graph_def.versions)
    replaced = set()
    for node in network.graph_def.node:
        source = nodes.get(node_name(node.input[0])) if node.op in BATCH_NORMS else None
        alone = source is not None and uses[source.name] == 1 and not any(f"{node.name}:{n}" in others for n in (1, 2))
        if source is not None and source.op in CONVOLUTIONS and alone and not node.attr["is_training"].b:
            graph_def.node.extend(_fused(node, source))
            replaced.add(source.name)
        else:
            graph_def.node.add().CopyFrom(node)
    kept = [node for node in graph_def.node if node.name not in replaced]
    del graph_def.node[:]
    graph_def.node.extend(kept)
    return network._replace(graph_def=graph_def)


def _fused(norm: Any, convolution: Any) -> list[Any]:
    """Return the nodes that compute a convolution and its batch norm; the last node has the batch norm's name."""
    name = norm.name
    _, gamma, beta, mean, variance = norm.input
    scale = f"{name}/scale"
    made = [
        constant_node(f"{name}/epsilon", np.asarray(norm.attr["epsilon"].f), np.float32),
        _node(f"{name}/spread", "AddV2", variance, f"{name}/epsilon"),
        _node(f"{name}/inverse", "Rsqrt", f"{name}/spread"),
        _node(scale, "Mul", gamma, f"{name}/inverse"),
        _node(f"{name}/shift", "Mul", mean, scale),
        _node(f"{name}/offset", "Sub", beta, f"{name}/shift"),
    ]
    if convolution.op == "DepthwiseConv2dNative":  # its kernel is [height, width, channels, 1]
        made += [constant_node(f"{name}/column", np.asarray([-1, 1]), np.int32)]
        scale = f"{name}/scale_column"
        made += [_node(scale, "Reshape", f"{name}/scale", f"{name}/column")]
        made[-1].attr["Tshape"].type = tf.int32.as_datatype_enum
    convolved = tf.compat.v1.NodeDef()
    convolved.CopyFrom(convolution)
    convolved.name = f"{name}/convolution"
    convolved.input[1] = f"{name}/kernel"
    return [
        *made,
        _node(f"{name}/kernel", "Mul", convolution.input[1], scale),
        convolved,
        _node(name, "BiasAdd", convolved.name, f"{name}/offset"),
    ]


def _node(name: str, operation: str, *inputs: str) -> Any:
    node = tf.compat.v1.NodeDef(name=name, op=operation, input=inputs)
    node.attr["T"].type = tf.float32.as_datatype_enum
    return node


class Statistics(NamedTuple):
    """A batch norm that uses its batch's statistics: the names of its moving variables and of the batch's tensors.

    The variance is unbiased, as in TensorFlow.
    """

    mean: str
    variance: str
    batch_mean: str
    batch_variance: str


def use_batch_statistics(network: Symbolic, trainable: Collection[str]) -> tuple[Symbolic, list[Statistics]]:
    """Make the batch norms with a trainable offset use the statistics of each batch.

    This updates no variable. The returned `Statistics` name the tensors to average.
    """
    names = {node_name(feed): name for name, feed in network.feeds.items()}
    graph_def = tf.compat.v1.GraphDef(versions=network.graph_def.versions)
    found = []
    for node in network.graph_def.node:
        if node.op in BATCH_NORMS and names.get(node_name(node.input[2])) in set(trainable):
            nothing = f"{node.name}/nothing"
            graph_def.node.append(constant_node(nothing, np.zeros(0), np.float32))
            mean, variance = (names[node_name(name)] for name in node.input[3:5])
            found.append(Statistics(mean, variance, f"{node.name}:1", f"{node.name}:2"))
            changed = graph_def.node.add()
            changed.CopyFrom(node)
            changed.attr["is_training"].b = True
            changed.input[3] = changed.input[4] = nothing  # the operation requires empty inputs if it doesn't use them
        else:
            graph_def.node.add().CopyFrom(node)
    return network._replace(graph_def=graph_def), found
