"""A frozen GraphDef as a base: cut between its images and its features, and run as a network function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from slimline.pipeline.errors import UserError
from slimline.stages.backend.tensorflow import tf
from slimline.stages.networks.graphs.any_batch import descendants, take_any_batch
from slimline.stages.networks.graphs.constants import fold_constants, gather_batch_norms
from slimline.stages.networks.graphs.folding import BATCH_NORMS, fold_batch_norms, node_name
from slimline.stages.networks.graphs.tensors import (
    PLACEHOLDERS,
    bottleneck_candidates,
    describe,
    find_tensor,
    import_graph,
    input_candidates,
    is_weights,
    modernize,
    shape_text,
    tensor_name,
)

INPUT, POOLED, LOGITS = "input", "pooled", "logits"
SETTINGS = {POOLED: "base.bottleneck", LOGITS: "base.output"}
PASSING = frozenset(
    {"Identity", "CheckNumerics", "StopGradient", "PreventGradient", "Snapshot", "PlaceholderWithDefault"}
)
"""Operations that pass on their first input unchanged, if nothing is trained or fed."""
CONTROL_FLOW = frozenset({"Switch", "RefSwitch", "Merge", "LoopCond", "Enter", "Exit", "NextIteration"})
CHANNELS = 3


def cut_graph(graph_def: Any, *, input_name: str, output_names: Mapping[str, str], size_px: int) -> Any:
    """Cut a GraphDef to the part between its images and the outputs, for inference on any number of images.

    `output_names` has the tensor of `pooled`, the features, and optionally that of `logits`. The result takes
    `input:0`, [batch, size_px, size_px, 3] float32, in place of the tensor `input_name`, and returns `pooled:0`
    and `logits:0`, [batch, width]. Its batch norms are folded into its convolutions.

    Raises:
        UserError: a name is wrong, the tensors don't fit, other inputs are needed too, or the batch size is fixed.
    """
    whole = modernize(graph_def)
    graph = import_graph(whole)
    images = find_tensor(graph, input_name, "base.input", input_candidates)
    _require_images(images, size_px, input_candidates(graph))
    source = _feed(whole, images.name, size_px)
    graph = import_graph(whole)
    outputs = {}
    for role, name in output_names.items():
        output = find_tensor(graph, name, SETTINGS[role], bottleneck_candidates)
        _require_flat(output.shape, name, describe(SETTINGS[role], bottleneck_candidates(graph)))
        outputs[role] = output.name
    ends = set(outputs.values())
    kept = _keep(_complete(graph.as_graph_def(), whole), ends)
    _require_dependence(kept, source, output_names, outputs)
    _require_inference(kept)
    shares = take_any_batch(kept, source, ends)
    kept = gather_batch_norms(fold_constants(_keep(kept, ends), source))
    return _assemble(fold_batch_norms(_keep(kept, ends)), source, outputs, shares, size_px)


def _require_images(tensor: Any, size_px: int, candidates: list[Any]) -> None:
    """Check that preprocessed images can replace a tensor."""
    shape = tensor.shape
    advice = describe("base.input", candidates)
    if tensor.dtype != tf.float32:
        raise UserError(f"base.input={tensor.name} is of type {tensor.dtype.name}, not float32.", *advice)
    if not shape.is_compatible_with([None, None, None, CHANNELS]):
        raise UserError(f"base.input={tensor.name} is {shape_text(shape)}, not [batch, height, width, 3].", *advice)
    if not shape.is_compatible_with([None, size_px, size_px, CHANNELS]):
        raise UserError(
            f"base.size={size_px} doesn't fit base.input={tensor.name}, which is {shape_text(shape)}.",
            f"Set base.size={shape[1]}: the graph was frozen for it."
            if shape[1] == shape[2]
            else "Choose another graph: this one's input isn't square.",
        )


def _feed(graph_def: Any, name: str, size_px: int) -> str:
    """Replace a tensor by a placeholder of one image, and skip nodes that only pass on their input."""
    names = {node.name for node in graph_def.node}
    source = INPUT
    while source in names:
        source += "_"
    gates = _gates(graph_def)
    passed = {
        node.name: node.input[0]
        for node in graph_def.node
        if node.op in PASSING and not any(given.startswith("^") and node_name(given) in gates for given in node.input)
    }

    def resolve(given: str) -> str:
        while True:
            if tensor_name(given) == name:
                return source
            if given.startswith("^") or node_name(given) not in passed:
                return given
            given = passed[node_name(given)]

    for node in graph_def.node:
        node.input[:] = [resolve(given) for given in node.input]
    placeholder = graph_def.node.add(name=source, op="Placeholder")
    placeholder.attr["dtype"].type = tf.float32.as_datatype_enum
    placeholder.attr["shape"].shape.CopyFrom(tf.TensorShape([1, size_px, size_px, CHANNELS]).as_proto())
    return source


def _complete(imported: Any, whole: Any) -> Any:
    """Return an imported GraphDef, which has every attribute, with the weights of the whole GraphDef."""
    weights = {node.name: node for node in whole.node if is_weights(node)}
    complete = tf.compat.v1.GraphDef(library=imported.library, versions=imported.versions)
    complete.node.extend(weights.get(node.name, node) for node in imported.node)
    return complete


def _gates(graph_def: Any) -> set[str]:
    """Return the nodes whose control edges say which branch runs; all other edges only order side effects."""
    switches = {node.name for node in graph_def.node if node.op in CONTROL_FLOW}
    return switches | {
        node.name for node in graph_def.node if node.op == "Identity" and node_name(node.input[0]) in switches
    }


def _keep(graph_def: Any, outputs: set[str]) -> Any:
    """Return a copy of the nodes that the outputs depend on, without control edges that only order side effects."""
    nodes = {node.name: node for node in graph_def.node}
    gates = _gates(graph_def)
    stack = [node_name(name) for name in outputs]
    wanted: set[str] = set()
    while stack:
        name = stack.pop()
        if name not in wanted:
            wanted.add(name)
            read = [given for given in nodes[name].input if not given.startswith("^") or node_name(given) in gates]
            stack.extend(node_name(given) for given in read)
    kept = tf.compat.v1.GraphDef(library=graph_def.library, versions=graph_def.versions)
    kept.node.extend(node for node in graph_def.node if node.name in wanted)
    for node in kept.node:
        node.input[:] = [given for given in node.input if not given.startswith("^") or node_name(given) in gates]
    return kept


def _require_dependence(kept: Any, source: str, names: Mapping[str, str], outputs: Mapping[str, str]) -> None:
    """Check that the outputs depend on the images, and on nothing else that would have to be fed."""
    inside = descendants(kept, source)
    for role, output in outputs.items():
        if node_name(output) not in inside:
            raise UserError(
                f"{SETTINGS[role]}={names[role]} doesn't depend on base.input.",
                "Choose a tensor after base.input: this one is before it, or on another branch.",
            )
    others = [node for node in kept.node if node.op != "Const" and node.name != source and not any(_data(node))]
    if others:
        foreign = set().union(*(descendants(kept, node.name) for node in others))
        before = inside - foreign - {source}
        read = [given for node in kept.node if node.name in foreign for given in _data(node)]
        edge = list(dict.fromkeys(tensor_name(given) for given in read if node_name(given) in before))
        needing = next(role for role, output in outputs.items() if node_name(output) in foreign)
        what = "placeholder" if others[0].op in PLACEHOLDERS else f"{others[0].op} operation"
        raise UserError(
            f"{SETTINGS[needing]}={names[needing]} needs the {what} {others[0].name} in addition to base.input.",
            f"Choose a tensor that doesn't: {', '.join(edge[-3:])}." if edge else "Choose another base.input.",
            f"Or freeze the graph for inference, with {others[0].name} as a constant.",
        )


def _data(node: Any) -> list[str]:
    return [given for given in node.input if not given.startswith("^")]


def _require_inference(kept: Any) -> None:
    """Check that no batch norm computes its statistics from the batch."""
    training = [node.name for node in kept.node if node.op in BATCH_NORMS and node.attr["is_training"].b]
    if training:
        raise UserError(
            f"The graph was frozen in training mode: {training[0]} computes its statistics from the batch.",
            "Freeze it for inference (is_training=False).",
        )


def _require_flat(shape: Any, name: str, advice: list[str]) -> None:
    """Refuse features with more than one place."""
    if shape.rank == 4 and shape[1:3].as_list() != [1, 1]:
        raise UserError(
            f"{name} is {shape_text(shape)}: neither [batch, width] nor [batch, 1, 1, width].",
            "Choose the tensor after the global pooling.",
            *advice,
        )


def flatten(features: Any, name: str) -> Any:
    """Return features [batch, width] or [batch, 1, 1, width] as [batch, width].

    Raises:
        UserError: they have another shape, such as a map of features.
    """
    _require_flat(features.shape, name, [])
    if features.shape.rank not in (2, 4):
        raise UserError(f"{name} is {shape_text(features.shape)}, not [batch, width].", "Choose another tensor.")
    return features if features.shape.rank == 2 else tf.reshape(features, [-1, features.shape[3]])


def _assemble(
    graph_def: Any, source: str, outputs: Mapping[str, str], shares: Mapping[str, list[int]], size_px: int
) -> Any:
    """Import the cut graph with its new input, and name its outputs."""
    with tf.Graph().as_default() as graph:
        images = tf.compat.v1.placeholder(tf.float32, [None, size_px, size_px, CHANNELS], name=INPUT)
        tensors = tf.graph_util.import_graph_def(graph_def, {f"{source}:0": images}, list(outputs.values()), name="cut")
        for (role, name), tensor in zip(outputs.items(), tensors, strict=True):
            tensor.set_shape([None, *shares[name]])
            tf.identity(flatten(tensor, name), name=role)
    return tf.compat.v1.graph_util.extract_sub_graph(graph.as_graph_def(), list(outputs))


def logits_tensor(graph_def: Any, output_name: str) -> str:
    """Return the tensor before an output's Softmax, skipping Reshape, Squeeze and Identity; else the output."""
    nodes = {node.name: node for node in graph_def.node}
    node = nodes.get(node_name(output_name))
    while node is not None and node.op in {"Reshape", "Squeeze", *PASSING}:
        node = nodes.get(node_name(node.input[0]))
    return tensor_name(node.input[0]) if node is not None and node.op == "Softmax" else tensor_name(output_name)


def frozen_network(graph: Any, logits: bool = False) -> Callable[..., tuple[Any, dict[str, Any]]]:
    """Return the result of `cut_graph`, a GraphDef or its bytes, as a network function `(images, *, is_training)`.

    It returns `(output, end_points)`. The output is the end point `pooled`, [batch, width], or with `logits` the
    logits, [batch, classes]. It has no variables, and is the same in training.
    """
    graph_def = tf.compat.v1.GraphDef.FromString(graph) if isinstance(graph, bytes) else graph
    roles = [POOLED, LOGITS] if logits else [POOLED]
    graph_def = tf.compat.v1.graph_util.extract_sub_graph(graph_def, roles)
    # The images replace it; if kept, it would be a second, unused placeholder in graphs built from this one.
    graph_def.node.remove(next(node for node in graph_def.node if node.name == INPUT))

    def network(images: Any, *, is_training: bool = False) -> tuple[Any, dict[str, Any]]:
        wanted = [f"{role}:0" for role in roles]
        tensors = tf.graph_util.import_graph_def(graph_def, {f"{INPUT}:0": images}, wanted, name="Base")
        end_points = dict(zip((POOLED, "Logits"), tensors, strict=False))
        return tensors[-1], end_points

    return network
