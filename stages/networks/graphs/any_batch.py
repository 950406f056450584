"""Make a graph that was frozen for one image at a time take batches of any size."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from slimline.pipeline.errors import UserError
from slimline.stages.backend.tensorflow import tf
from slimline.stages.networks.graphs.folding import constant_node, node_name
from slimline.stages.networks.graphs.tensors import import_graph, shape_text

PROBE_BATCH = 7
"""The batch size for shape inference: neither 1, nor the number of an image's channels, nor of pooled places."""


def take_any_batch(graph_def: Any, source: str, outputs: Collection[str]) -> dict[str, list[int]]:
    """Rewrite a GraphDef in place for any batch size; return each output's shape for one image.

    `source` is the placeholder of images, with a batch of 1. Reshape gets a first dimension for the batch, and
    Squeeze keeps that dimension. The shapes that TensorFlow infers for two batch sizes show whether that is enough.

    Raises:
        UserError: an output's first dimension isn't the batch.
    """
    inside = descendants(graph_def, source)
    nodes = [node for node in graph_def.node if node.name in inside]
    # The unchanged graph may show which dimension is the batch; if it doesn't, the first one is used.
    for many in (_try_import(graph_def, source, PROBE_BATCH), None):
        one = import_graph(graph_def)
        for node in nodes:
            if node.op == "Reshape":
                _free_reshape(graph_def, node, _shape(one, f"{node.name}:0"), _shape(many, f"{node.name}:0"))
            elif node.op == "Squeeze":
                _free_squeeze(node, _shape(one, node.input[0]), _shape(many, node.input[0]))
            elif node.op == "EnsureShape" and many is None:
                _free_ensured(node)
        shares = _shares(graph_def, source, outputs)
        if shares is not None:
            return shares
    raise _fixed_batch(graph_def, source, inside)


def _shares(graph_def: Any, source: str, outputs: Collection[str]) -> dict[str, list[int]] | None:
    """Return the outputs' shapes for one image; None unless the batch is each output's first dimension."""
    graphs = {batch: _try_import(graph_def, source, batch) for batch in (1, PROBE_BATCH)}
    found = {}
    for name in outputs:
        shapes = {batch: _shape(graph, name) for batch, graph in graphs.items()}
        share = (shapes[1] or [])[1:]
        if any(shape != [batch, *share] for batch, shape in shapes.items()):
            return None
        found[name] = share
    return found


def descendants(graph_def: Any, source: str) -> set[str]:
    """Return the names of the nodes that are computed from the node `source`, including itself."""
    users: dict[str, list[str]] = {}
    for node in graph_def.node:
        for name in node.input:
            users.setdefault(node_name(name), []).append(node.name)
    found, stack = {source}, [source]
    while stack:
        new = [name for name in users.get(stack.pop(), []) if name not in found]
        found.update(new)
        stack.extend(new)
    return found


def _try_import(graph_def: Any, source: str, batch: int) -> Any:
    """Import with images of a batch size; return None if the shapes don't fit it."""
    try:
        return _import_at(graph_def, source, batch)
    except UserError:
        return None


def _import_at(graph_def: Any, source: str, batch: int | None) -> Any:
    [placeholder] = [node for node in graph_def.node if node.name == source]
    dims = placeholder.attr["shape"].shape.dim
    before, dims[0].size = dims[0].size, -1 if batch is None else batch
    try:
        return import_graph(graph_def)
    finally:
        dims[0].size = before


def _shape(graph: Any, name: str) -> list[int] | None:
    """Return a tensor's shape, or None if it isn't fully known."""
    if graph is None:
        return None
    shape = graph.get_tensor_by_name(name if ":" in name else f"{name}:0").shape
    return list(shape.as_list()) if shape.is_fully_defined() else None


def _free_reshape(graph_def: Any, node: Any, one: list[int] | None, many: list[int] | None) -> None:
    """Give a Reshape to [1, ...] the constant shape [-1, ...], unless its first dimension isn't the batch."""
    shape = f"{node.name}/any_batch"
    if not one or one[0] != 1 or (many is not None and many != [PROBE_BATCH, *one[1:]]) or node.input[1] == shape:
        return
    graph_def.node.append(constant_node(shape, np.array([-1, *one[1:]]), np.dtype("int32")))
    node.input[1] = shape
    node.attr["Tshape"].type = tf.int32.as_datatype_enum


def _free_squeeze(node: Any, one: list[int] | None, many: list[int] | None) -> None:
    """Make a Squeeze name its dimensions, without the batch."""
    if one is None:
        return
    of_one = [
        index for index, size in enumerate(one) if size == 1 and (index > 0 if many is None else many[index] == 1)
    ]
    named = [index % len(one) for index in node.attr["squeeze_dims"].list.i]
    kept = [index for index in named or of_one if index in of_one]
    if kept:
        node.attr["squeeze_dims"].list.i[:] = kept
    else:
        node.op = "Identity"
        del node.attr["squeeze_dims"]


def _free_ensured(node: Any) -> None:
    """Make an EnsureShape for a batch of 1 accept any batch."""
    dims = node.attr["shape"].shape.dim
    if dims and dims[0].size == 1:
        dims[0].size = -1


def _fixed_batch(graph_def: Any, source: str, inside: Collection[str]) -> UserError:
    """Return the error, with the first tensor whose first dimension isn't the batch."""
    operations = _import_at(graph_def, source, None).get_operations()
    tensors = [tensor for operation in operations if operation.name in inside for tensor in operation.outputs]
    lost = [t for t in tensors if t.dtype.is_floating and (not t.shape.rank or t.shape[0] is not None)]
    where = (
        f"{lost[0].name} is {shape_text(lost[0].shape)} for any batch"
        if lost
        else "the first dimension of its outputs isn't the batch"
    )
    return UserError(
        f"The graph only works with a batch of fixed size: {where}.",
        "Choose tensors before that one, or freeze the graph with a batch of unknown size (None).",
    )
