"""A GraphDef's tensors: their names, their shapes, and the candidates for cutting a base."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from slimline.pipeline.errors import UserError
from slimline.stages.backend.tensorflow import tf
from slimline.stages.networks.graphs.folding import constant_node, constant_value

CONVOLUTIONS = frozenset({"Conv2D", "DepthwiseConv2dNative", "QuantizedConv2D"})
MOST_SHOWN = 10
NEAREST_SHOWN = 3
LARGEST_SHAPE_BYTES = 4096
CONSTANTS = frozenset({"Const", "ImmutableConst"})
PLACEHOLDERS = frozenset({"Placeholder", "PlaceholderV2"})
FIRST_STRICT_PLACEHOLDERS = 22
"""The first GraphDef version in which a placeholder's shape [] means a scalar, and no longer an unknown shape.

Source: https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/public/version.h
"""
STALE_ATTRIBUTES = ("_class", "_output_shapes")
"""Attributes that may be outdated: colocation with nodes that may be removed, and shapes."""


def modernize(graph_def: Any) -> Any:
    """Return a copy of a GraphDef of any version that the current TensorFlow accepts, on any device.

    `BatchNormWithGlobalNormalization`, which was removed in GraphDef version 9, becomes FusedBatchNormV3.
    """
    modern = tf.compat.v1.GraphDef(library=graph_def.library)
    modern.versions.producer = tf.version.GRAPH_DEF_VERSION
    modern.versions.min_consumer = graph_def.versions.min_consumer
    strict = graph_def.versions.producer >= FIRST_STRICT_PLACEHOLDERS
    nodes = {node.name: node for node in graph_def.node}
    for node in graph_def.node:
        modern.node.extend(_modern_batch_norm(node, nodes) if node.op == "BatchNormWithGlobalNormalization" else [node])
    for node in modern.node:
        node.device = ""
        for name in STALE_ATTRIBUTES:
            node.attr.pop(name, None)
        if node.op == "Placeholder" and not strict and not node.attr["shape"].shape.dim:
            node.attr["shape"].shape.unknown_rank = True
    return modern


def _modern_batch_norm(node: Any, nodes: Mapping[str, Any]) -> list[Any]:
    images, mean, variance, beta, gamma, *controls = node.input
    scale = gamma
    extra = []
    if not node.attr["scale_after_normalization"].b:
        value = constant_value(gamma, nodes)
        if value is None:
            raise UserError(f"The graph's {node.name} isn't frozen: gamma isn't a constant.", "Freeze the graph.")
        scale = f"{node.name}/ones"
        extra = [constant_node(scale, value * 0 + 1, value.dtype)]
    fused = tf.compat.v1.NodeDef(
        name=node.name, op="FusedBatchNormV3", input=[images, scale, beta, mean, variance, *controls]
    )
    fused.attr["T"].CopyFrom(node.attr["T"])
    fused.attr["U"].CopyFrom(node.attr["T"])
    fused.attr["epsilon"].f = node.attr["variance_epsilon"].f
    fused.attr["is_training"].b = False
    return [*extra, fused]


def import_graph(graph_def: Any) -> Any:
    """Import a GraphDef into a new `tf.Graph`, which infers every shape.

    Weights are replaced by an `ImmutableConst`: those of Inception-v3 are 95 MB, and each import would copy
    them twice (0.6 s).

    Raises:
        UserError: TensorFlow rejects it.
    """
    with tf.Graph().as_default() as graph:
        try:
            tf.graph_util.import_graph_def(_without_weights(graph_def), name="")
        except (ValueError, tf.errors.OpError) as error:
            raise UserError(
                f"TensorFlow {tf.__version__} rejects the graph: {str(error).splitlines()[0]}",
                "Freeze it again with a version of TensorFlow that is compatible with this one.",
            ) from error
    return graph


def _without_weights(graph_def: Any) -> Any:
    light = tf.compat.v1.GraphDef(library=graph_def.library, versions=graph_def.versions)
    for node in graph_def.node:
        if not is_weights(node):
            light.node.append(node)
            continue
        left_out = light.node.add(name=node.name, op="ImmutableConst", input=node.input)
        left_out.attr["dtype"].CopyFrom(node.attr["dtype"])
        left_out.attr["memory_region_name"].s = b"left out"
        left_out.attr["shape"].shape.CopyFrom(node.attr["value"].tensor.tensor_shape)
    return light


def is_weights(node: Any) -> bool:
    """Return whether a node is a constant that is too large to be a shape, an axis or a size."""
    return bool(node.op == "Const" and node.ByteSize() > LARGEST_SHAPE_BYTES)


def tensor_name(name: str) -> str:
    """Complete a node's name to the name of its first output: `pool_3` to `pool_3:0`."""
    return name if ":" in name else f"{name}:0"


def find_tensor(graph: Any, name: str, setting: str, candidates: Callable[[Any], list[Any]]) -> Any:
    """Return a graph's tensor by its name, with or without `:0`; `setting` is the setting that names it.

    Raises:
        UserError: it doesn't exist; the error lists similar names and the candidates.
    """
    node, _, output = tensor_name(name).partition(":")
    operations = {operation.name: operation for operation in graph.get_operations()}
    operation = operations.get(node)
    if operation is None:
        computed = [name for name, operation in operations.items() if operation.type not in CONSTANTS]
        nearest = get_close_matches(node, computed, NEAREST_SHOWN)
        near = [f"Similar names: {', '.join(nearest)}."] if nearest else []
        raise UserError(
            f"{setting}={name}: the graph has no such tensor.", *near, *describe(setting, candidates(graph))
        )
    if not output.isdecimal() or int(output) >= len(operation.outputs):
        count = len(operation.outputs)
        has = {0: "no output", 1: f"one output, {node}:0"}.get(count, f"outputs {node}:0 to {node}:{count - 1}")
        raise UserError(
            f"{setting}={name}: {node} has {has}.", *([] if count else describe(setting, candidates(graph)))
        )
    return operation.outputs[int(output)]


def describe(setting: str, candidates: Iterable[Any]) -> list[str]:
    """Return lines that list the tensors that a setting could name, with their shapes."""
    lines = [f"  {tensor.name} {shape_text(tensor.shape)}" for tensor in candidates]
    return [f"Candidates for {setting}:", *lines] if lines else [f"The graph has no candidate for {setting}."]


def shape_text(shape: Any) -> str:
    """Return a shape as text, such as [?, 1, 1, 2048]."""
    if shape.rank is None:
        return "of unknown shape"
    return f"[{', '.join('?' if size is None else str(size) for size in shape.as_list())}]"


def input_candidates(graph: Any) -> list[Any]:
    """Return the tensors that could be a batch of preprocessed images, [?, height, width, 3] float32, at most ten."""
    found = []
    for operation in graph.get_operations():
        placeholder = operation.type in PLACEHOLDERS
        for tensor in operation.outputs if operation.type not in CONSTANTS else ():
            images = tensor.shape.rank == 4 and tensor.shape[3] in (3, None if placeholder else 3)
            unknown = placeholder and tensor.shape.rank is None
            if tensor.dtype == tf.float32 and (images or unknown):
                found.append(tensor)
    return found[:MOST_SHOWN]


def bottleneck_candidates(graph: Any) -> list[Any]:
    """Return the tensors that could be features, [?, width] or [?, 1, 1, width] after the last convolution.

    At most ten. Pooled tensors inside a network, such as those of squeeze-and-excite, are excluded: spatial tensors
    follow them.
    """
    operations = graph.get_operations()
    after: set[str] = set()
    for operation in operations:  # those of an imported graph are in topological order
        if operation.type in CONVOLUTIONS or any(tensor.op.name in after for tensor in operation.inputs):
            after.add(operation.name)
    before: set[str] = set()
    for operation in reversed(operations):
        spatial = any(_spatial(tensor) for tensor in operation.outputs)
        read = any(use.name in before for tensor in operation.outputs for use in tensor.consumers())
        if operation.name in after and (spatial or read):
            before.add(operation.name)
    wanted = [operation for operation in operations if operation.name in after - before]
    return [t for operation in wanted for t in operation.outputs if t.dtype == tf.float32 and is_flat(t)][:MOST_SHOWN]


def is_flat(tensor: Any) -> bool:
    """Return whether a tensor is [?, width] or [?, 1, 1, width] with a known width above 1."""
    shape = tensor.shape.as_list() if tensor.shape.rank is not None else []
    flat = len(shape) == 2 or (len(shape) == 4 and shape[1:3] == [1, 1])
    return flat and shape[-1] is not None and shape[-1] > 1


def _spatial(tensor: Any) -> bool:
    return bool(tensor.shape.rank == 4 and tensor.shape[1:3].as_list() != [1, 1])
