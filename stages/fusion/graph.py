"""What TensorFlow makes of a function before it runs it: the graph as written, as optimised, and as its kernels run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from slimline.stages.backend.tensorflow import tf

ARGUMENTS = {"_Arg", "_DeviceArg", "_EagerConst", "_Retval", "Placeholder"}
"""Operations that compute nothing: what goes in and comes out."""


class Operation(NamedTuple):
    """A kind of operation: its name, what is fused into it, such as `BiasAdd+Relu6`, and its type.

    The type is that of what is computed, such as `float32`; a cast's is `float32 to bfloat16`.
    """

    name: str
    fused: str
    type: str


class Graphs(NamedTuple):
    """How often each operation stands in a function's graph.

    `written` is the graph as traced, `optimised` what Grappler makes of it, and `run` what is executed, after
    oneDNN's kernels have replaced TensorFlow's.
    """

    written: Counter[Operation]
    optimised: Counter[Operation]
    run: Counter[Operation]


def trace_graphs(call: Callable[[], Any]) -> Graphs:
    """Count the operations of a `tf.function`, which `call` has to call for the first time.

    A graph is optimised at its first call alone. TensorFlow collects graphs for `tf.summary.trace_export`, whose file
    is read back here: it is the one public way to them. `call` may run other operations too; the largest graph counts.
    """
    tf.summary.trace_on(graph=True)
    # TensorFlow 2.21 goes on collecting after `trace_off`; without a writer, this throws away what is left over.
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
    """Count a graph's nodes by kind, arguments and results left out."""
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
