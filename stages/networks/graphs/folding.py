"""Fold batch norm into the convolutions of a frozen network.

Without batch norm, TensorFlow's own optimizer fuses the rest, convolution + bias + activation, into one
operation. This works on any GraphDef: on every Slim network and on frozen graphs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimline.stages.backend.tensorflow import tf

CONVOLUTIONS = ("Conv2D", "DepthwiseConv2dNative")
FOLDED = "folded"
BATCH_NORMS = ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")


def import_function(graph_def: Any, given: str, *wanted: str) -> Any:
    """Return a GraphDef as a concrete function from the tensor named `given` to one or several tensors, `wanted`."""
    [placeholder] = [node for node in graph_def.node if node.name == node_name(given)]
    shape, dtype = placeholder.attr["shape"].shape, tf.as_dtype(placeholder.attr["dtype"].type)

    def run(inputs: Any) -> Any:
        outputs = tf.graph_util.import_graph_def(graph_def, {given: inputs}, wanted, name="")
        return outputs[0] if len(wanted) == 1 else tuple(outputs)

    return tf.function(run, autograph=False).get_concrete_function(tf.TensorSpec(tf.TensorShape(shape), dtype))


def write_frozen(path: Path, function: Any) -> None:
    """Write a frozen function of one input and one output as a GraphDef, its tensors named `input:0` and `output:0`."""
    graph_def = function.graph.as_graph_def()
    output = graph_def.node.add(name="output", op="Identity", input=[function.outputs[0].name])
    output.attr["T"].type = function.outputs[0].dtype.as_datatype_enum
    _rename(graph_def, node_name(function.inputs[0].name), "input")
    path.write_bytes(graph_def.SerializeToString(deterministic=True))


def read_frozen(path: Path) -> Any:
    """Read a file written by `write_frozen`, as a function."""
    graph_def = tf.compat.v1.GraphDef.FromString(path.read_bytes())
    return import_function(graph_def, "input:0", "output:0")


def read_frozen_with_features(path: Path, head: str) -> Any:
    """Read a file written by `write_frozen`, as a function to its output and to the input of the scope `head`."""
    graph_def = tf.compat.v1.GraphDef.FromString(path.read_bytes())
    features = first_product(graph_def, head).input[0]
    return import_function(graph_def, "input:0", "output:0", features if ":" in features else f"{features}:0")


def first_product(graph_def: Any, head: str) -> Any:
    """Return the node in the scope `head` that multiplies the features by the head's first weights."""
    return next(node for node in graph_def.node if node.op == "MatMul" and node.name.startswith(f"{head}/"))


def read_frozen_constants(path: Path) -> dict[str, NDArray[Any]]:
    """Read the constants of a file written by `write_frozen`, by name."""
    graph_def = tf.compat.v1.GraphDef.FromString(path.read_bytes())
    return {node.name: tf.make_ndarray(node.attr["value"].tensor) for node in graph_def.node if node.op == "Const"}


def folded_kernels(constants: Mapping[str, NDArray[Any]], names: Collection[str]) -> dict[str, NDArray[Any]]:
    """Return the kernels that `fold_batch_norms` multiplied, by the names of their variables in `names`."""
    ending = f"/{FOLDED}"
    found = {name.removesuffix(ending): value for name, value in constants.items() if name.endswith(ending)}
    return {name: value for name, value in found.items() if name in names}


def _rename(graph_def: Any, old: str, new: str) -> None:
    for node in graph_def.node:
        node.name = new if node.name == old else node.name
        for index, name in enumerate(node.input):
            if node_name(name) == old:
                node.input[index] = name.replace(old, new, 1)


def fold_batch_norms(graph_def: Any) -> Any:
    """Fold each inference-mode batch norm that follows a convolution with constant weights into it.

    y = gamma (w*x - mean) / sqrt(variance + epsilon) + beta becomes (w scale)*x + offset. Other batch norms,
    and those whose convolution has other uses too, are not changed.
    """
    nodes = {node.name: node for node in graph_def.node}
    uses = Counter(node_name(name) for node in graph_def.node for name in node.input)
    folded = tf.compat.v1.GraphDef(versions=graph_def.versions, library=graph_def.library)
    for node in graph_def.node:
        replacement = _fold(node, nodes, uses) if node.op in BATCH_NORMS else [node]
        folded.node.extend(replacement)
    return _without_unused(folded, graph_def)


def _fold(node: Any, nodes: dict[str, Any], uses: Counter[str]) -> list[Any]:
    convolution = nodes[node_name(node.input[0])]
    values = [constant_value(name, nodes) for name in node.input[1:5]]
    only_use = uses[convolution.name] == 1 and not any(f"{node.name}:{n}" in uses for n in range(1, 6))
    weights = constant_value(convolution.input[1], nodes) if convolution.op in CONVOLUTIONS else None
    if node.attr["is_training"].b or weights is None or not only_use or any(v is None for v in values):
        return [node]
    gamma, beta, mean, variance = (np.asarray(value, np.float64) for value in values)
    scale = gamma / np.sqrt(variance + node.attr["epsilon"].f)
    if convolution.op == "DepthwiseConv2dNative":
        folded_weights = weights * scale.reshape(weights.shape[2:])
    else:
        folded_weights = weights * scale
    convolved = tf.compat.v1.NodeDef()
    convolved.CopyFrom(convolution)
    convolved.name = f"{node.name}/convolution"
    kernel = _source(convolution.input[1], nodes).name
    # Two layers that share a kernel need one folded kernel each.
    folded_name = f"{kernel if uses[kernel] == 1 else node.name}/{FOLDED}"
    convolved.input[1] = folded_name
    bias = tf.compat.v1.NodeDef(name=node.name, op="BiasAdd", input=[convolved.name, f"{node.name}/offset"])
    bias.attr["T"].CopyFrom(node.attr["T"])
    bias.attr["data_format"].CopyFrom(node.attr["data_format"])
    return [
        constant_node(folded_name, folded_weights, weights.dtype),
        constant_node(f"{node.name}/offset", beta - mean * scale, weights.dtype),
        convolved,
        bias,
    ]


def node_name(tensor_name: str) -> str:
    """Return the name of the node of a tensor or a control input."""
    return tensor_name.lstrip("^").split(":")[0]


def constant_value(name: str, nodes: Mapping[str, Any]) -> NDArray[Any] | None:
    """Return the value of a tensor that is a constant, or None; `nodes` has every node by name."""
    node = _source(name, nodes)
    return tf.make_ndarray(node.attr["value"].tensor) if node.op == "Const" else None


def _source(name: str, nodes: Mapping[str, Any]) -> Any:
    """Return the node that computes a tensor's value, skipping nodes that only pass it on."""
    node = nodes[node_name(name)]
    while node.op in ("Identity", "ReadVariableOp"):
        node = nodes[node_name(node.input[0])]
    return node


def constant_node(name: str, value: NDArray[Any], dtype: Any) -> Any:
    """Make a constant node."""
    node = tf.compat.v1.NodeDef(name=name, op="Const")
    node.attr["dtype"].type = tf.as_dtype(dtype).as_datatype_enum
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value.astype(dtype)))
    return node


def _without_unused(folded: Any, original: Any) -> Any:
    """Remove the constants and convolutions that only the folded batch norms read."""
    read_before = {node_name(name) for node in original.node for name in node.input}
    while True:
        read = {node_name(name) for node in folded.node for name in node.input}
        kept = [node for node in folded.node if node.name in read or node.name not in read_before]
        if len(kept) == len(folded.node):
            return folded
        del folded.node[:]
        folded.node.extend(kept)
