"""Graphs of a TensorFlow function: as traced, as optimized by Grappler, and as executed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from slimline.stages.backend.tensorflow import tf

ARGUMENTS = {"_Arg", "_DeviceArg", "_EagerConst", "_Retval", "Placeholder"}
"""Operations that compute nothing: arguments and results."""


class Operation(NamedTuple):
    """A kind of operation: its name, the operations fused into it, such as `BiasAdd+Relu6`, and its type.

    The type is the data type of the result, such as `float32`. A cast's type is, for example, `float32 to bfloat16`.
    """

    name: str
    fused: str
    type: str


class Graphs(NamedTuple):
    """Number of operations of each kind in a function's graph.

    `written` is the graph as traced, `optimized` the graph after Grappler, and `run` the executed graph, in which
    oneDNN's kernels have replaced TensorFlow's.
    """

    written: Counter[Operation]
    optimized: Counter[Operation]
    run: Counter[Operation]


def trace_graphs(call: Callable[[], Any]) -> Graphs:
    """Count the operations of a `tf.function`. `call` must call the function for the first time.

    TensorFlow optimizes a graph at its first call only. This function reads the graphs from the file that
    `tf.summary.trace_export` writes, the only public way to get them. `call` may also run other operations; the largest
    graph is used.
    """
    tf.summary.trace_on(graph=True)
    # TensorFlow 2.21 still collects graphs after `trace_off`. Without a writer, this call discards them.
    tf.summary.trace_export("", step=0)
    with TemporaryDirectory() as folder:
        writer = tf.summary.create_file_writer(folder)
        tf.summary.trace_on(graph=True)
        try:
            call()
            with writer.as_default():
                tf.summary.trace_export("graphs", step=0)
        finally:
            tf.summary.trace_off()
            writer.close()
        found = max(_read_graphs(Path(folder)), key=lambda graphs: len(graphs.pre_optimization_graph.node))
    return Graphs(
        count_operations(_nodes(found.pre_optimization_graph)),
        count_operations(_nodes(found.post_optimization_graph)),
        count_operations(node for graph in found.partition_graphs for node in graph.node),
    )


def count_operations(nodes: Iterable[Any]) -> Counter[Operation]:
    """Count a graph's nodes by kind, without arguments and results."""
    return Counter(_operation(node) for node in nodes if node.op not in ARGUMENTS)


def _nodes(graph_def: Any) -> list[Any]:
    return [*graph_def.node, *(node for function in graph_def.library.function for node in function.node_def)]


def _operation(node: Any) -> Operation:
    names = {key: tf.as_dtype(node.attr[key].type).name for key in ("T", "dtype", "SrcT", "DstT") if key in node.attr}
    kind = f"{names['SrcT']} to {names['DstT']}" if "SrcT" in names else names.get("T", names.get("dtype", ""))
    fused = [name.decode() for name in node.attr["fused_ops"].list.s] if "fused_ops" in node.attr else []
    return Operation(node.op, "+".join(fused), kind)


def _read_graphs(folder: Path) -> list[Any]:
    [events] = [str(path) for path in folder.iterdir()]
    for record in tf.data.TFRecordDataset(events).as_numpy_iterator():
        for value in tf.compat.v1.Event.FromString(record).summary.value:
            [encoded] = value.tensor.string_val
            return list(tf.compat.v1.RunMetadata.FromString(encoded).function_graphs)
    raise RuntimeError("TensorFlow exported no graphs")
