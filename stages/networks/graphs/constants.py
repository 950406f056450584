"""Simplify frozen graphs: compute constant parts once, and replace batch norms built from separate operations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimline.stages.backend.tensorflow import tf
from slimline.stages.networks.graphs.any_batch import descendants
from slimline.stages.networks.graphs.folding import CONVOLUTIONS, constant_node, constant_value, node_name
from slimline.stages.networks.graphs.tensors import import_graph, tensor_name

ADDITIONS = {"Add": 1, "AddV2": 1, "BiasAdd": 1, "Sub": -1}
"""Operations that add or subtract an offset, by its sign."""


def fold_constants(graph_def: Any, source: str) -> Any:
    """Replace each tensor that doesn't depend on the node `source`, but that a dependent node reads, by its value.

    Random tensors, and those in a branch or a loop, are not changed.
    """
    inside = descendants(graph_def, source) | _unsteady(graph_def)
    read = {name for node in graph_def.node if node.name in inside for name in node.input if not name.startswith("^")}
    nodes = {node.name: node for node in graph_def.node}
    wanted = sorted(name for name in read if node_name(name) not in inside and nodes[node_name(name)].op != "Const")
    constant = tf.compat.v1.GraphDef(library=graph_def.library, versions=graph_def.versions)
    constant.node.extend(node for node in graph_def.node if node.name not in inside)

    def compute() -> list[Any]:
        return list(tf.graph_util.import_graph_def(constant, {}, [tensor_name(name) for name in wanted], name=""))

    values = tf.function(compute, autograph=False)() if wanted else []
    names = {name: f"{node_name(name)}/value_{name.partition(':')[2] or 0}" for name in wanted}
    folded = tf.compat.v1.GraphDef(library=graph_def.library, versions=graph_def.versions)
    folded.node.extend(node for node in graph_def.node if node.name in inside or node.op == "Const")
    for node in folded.node:
        node.input[:] = [names.get(name, name) for name in node.input]
    for name, value in zip(wanted, values, strict=True):
        folded.node.append(constant_node(names[name], value.numpy(), value.dtype.as_numpy_dtype))
    return folded


def _unsteady(graph_def: Any) -> set[str]:
    """Return the nodes that depend on random numbers, a branch or a loop."""
    flow = {"Switch", "Merge", "Enter", "Exit", "NextIteration", "LoopCond"}
    operations = import_graph(graph_def).get_operations()
    first = [operation.name for operation in operations if operation.op_def.is_stateful or operation.type in flow]
    return set().union(*(descendants(graph_def, name) for name in first))


def gather_batch_norms(graph_def: Any) -> Any:
    """Replace each batch norm that is built from separate operations, convolution * scale + offset, by one operation.

    TensorFlow 1 built them like this before it had a fused operation: the published MobileNet graphs have them.
    Source: https://github.com/tensorflow/tensorflow/blob/v1.0.0/tensorflow/python/ops/nn_impl.py
    """
    nodes = {node.name: node for node in graph_def.node}
    uses = Counter(node_name(name) for node in graph_def.node for name in node.input)
    gathered = tf.compat.v1.GraphDef(library=graph_def.library, versions=graph_def.versions)
    for node in graph_def.node:
        found = _spelled_out(node, nodes, uses)
        gathered.node.extend(_batch_norm(node, *found) if found else [node])
    return gathered


def _spelled_out(
    node: Any, nodes: Mapping[str, Any], uses: Mapping[str, int]
) -> tuple[str, NDArray[Any], NDArray[Any]] | None:
    """Return the convolution, the scale and the offset of a batch norm that ends in a node, or None."""
    added = _with_channels(node, nodes) if node.op in ADDITIONS else None
    if added is None:
        return None
    product = nodes[node_name(added[0])]
    multiplied = _with_channels(product, nodes) if product.op == "Mul" else None
    if multiplied is None or uses[product.name] > 1:
        return None
    convolution = nodes[node_name(multiplied[0])]
    if convolution.op not in CONVOLUTIONS or convolution.attr["data_format"].s != b"NHWC":
        return None
    scale, offset = multiplied[1], added[1] * ADDITIONS[node.op]
    return (multiplied[0], scale, offset) if scale.shape == offset.shape else None


def _with_channels(node: Any, nodes: Mapping[str, Any]) -> tuple[str, NDArray[Any]] | None:
    """Split a node's two inputs into a tensor and a float32 constant with one value per channel."""
    for index in (1, 0) if node.op != "Sub" else (1,):
        value = constant_value(node.input[index], nodes)
        if value is not None and value.dtype == np.float32 and value.size > 1 and value.shape[-1] == value.size:
            return node.input[1 - index], value.ravel()
    return None


def _batch_norm(node: Any, images: str, scale: NDArray[Any], offset: NDArray[Any]) -> list[Any]:
    parts = {"scale": scale, "offset": offset, "mean": np.zeros_like(scale), "variance": np.ones_like(scale)}
    names = {part: f"{node.name}/spelled_out_{part}" for part in parts}
    fused = tf.compat.v1.NodeDef(name=node.name, op="FusedBatchNormV3", input=[images, *names.values()])
    fused.attr["T"].type = fused.attr["U"].type = tf.float32.as_datatype_enum
    fused.attr["data_format"].s = b"NHWC"
    fused.attr["epsilon"].f = 0
    fused.attr["is_training"].b = False
    return [*(constant_node(names[part], value, value.dtype) for part, value in parts.items()), fused]
