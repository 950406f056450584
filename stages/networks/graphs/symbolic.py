"""Networks as GraphDefs with their variables as inputs, for cutting, rewriting and training."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from slimline.stages.backend.tensorflow import tf
from slimline.stages.networks.graphs.folding import node_name
from slimline.stages.networks.graphs.module import Declared, Network, call_network, declare


class Symbolic(NamedTuple):
    """A network for inference as a GraphDef without state.

    `variables` has the network's variables, in order of construction, and `feeds` the name of the tensor that
    represents each of them. `given` and `output` are the names of the input's and of the output's tensor.
    """

    graph_def: Any
    variables: dict[str, Declared]
    feeds: dict[str, str]
    given: str
    output: str

    def run(self, inputs: Any, values: Mapping[str, Any], wanted: Iterable[str] = ()) -> list[Any]:
        """Build the network into the current graph; return its output, then the tensors named `wanted`.

        `values` has a tensor for each variable that these depend on. Differentiate with `tf.gradients`: a tape
        doesn't record imported operations.
        """
        feeds = {self.given: inputs, **{feed: values[name] for name, feed in self.feeds.items()}}
        fed = {node_name(feed) for feed in feeds}
        body = tf.compat.v1.GraphDef(versions=self.graph_def.versions)
        body.node.extend(node for node in self.graph_def.node if node.name not in fed)  # XLA takes no placeholders
        read = {node_name(given) for node in body.node for given in node.input}
        feeds = {feed: value for feed, value in feeds.items() if node_name(feed) in read}
        names = [name for name in (self.output, *wanted) if name != self.given]
        made = dict(zip(names, tf.graph_util.import_graph_def(body, feeds, names, name=""), strict=True))
        return [made.get(name, inputs) for name in (self.output, *wanted)]


def trace(network: Network, input_shape: tuple[int, ...]) -> Symbolic:
    """Trace a network on images [batch, *input_shape] float32, with a placeholder for each variable."""
    variables: dict[str, Declared] = {}
    placeholders: dict[str, Any] = {}

    def get(getter: Any, name: str, *_: Any, **wanted: Any) -> Any:
        if name not in variables:
            variables[name] = declared = declare(wanted)
            # The slash keeps TensorFlow from adding the scope to the name a second time.
            placeholders[name] = tf.compat.v1.placeholder(declared.dtype, declared.shape, name=f"{name}/")
        return placeholders[name]

    with tf.Graph().as_default() as graph:
        images = tf.compat.v1.placeholder(tf.float32, [None, *input_shape], name="images")
        output = tf.identity(call_network(network, get, images)[0], name="output")
    feeds = {name: tensor.name for name, tensor in placeholders.items()}
    return Symbolic(graph.as_graph_def(), variables, feeds, images.name, output.name)


def upper_part(network: Symbolic, cut: str) -> Symbolic:
    """Return the part above a tensor, which becomes the input, with the variables of that part."""
    return _part(network, cut, network.output)


def lower_part(network: Symbolic, cut: str) -> Symbolic:
    """Return the part below a tensor, which becomes the output."""
    return _part(network, network.given, cut)


def _part(network: Symbolic, given: str, output: str) -> Symbolic:
    nodes = {node.name: node for node in network.graph_def.node}
    kept = _ancestors([node_name(output)], nodes, {node_name(given)})
    graph_def = tf.compat.v1.GraphDef(versions=network.graph_def.versions)
    for node in network.graph_def.node:
        if node.name == node_name(given):
            graph_def.node.add(name=node.name, op="Placeholder").attr["dtype"].type = tf.float32.as_datatype_enum
        elif node.name in kept:
            graph_def.node.add().CopyFrom(node)
    feeds = {name: feed for name, feed in network.feeds.items() if node_name(feed) in kept}
    return Symbolic(graph_def, {name: network.variables[name] for name in feeds}, feeds, given, output)


def _ancestors(names: list[str], nodes: Mapping[str, Any], stops: set[str]) -> set[str]:
    """Return the nodes that `names` depend on, including themselves, but nothing beyond `stops`."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        if name not in stops:
            waiting += [node_name(given) for given in nodes[name].input]
    return found


def find_cut(network: Symbolic, trainable: Collection[str]) -> str:
    """Return the highest tensor through which the whole output passes, and below which nothing is trainable.

    The part below it doesn't change while these variables are trained. It is the input if no other tensor fits, and
    the output if nothing is trainable.
    """
    moving = {node_name(network.feeds[name]) for name in trainable if name in network.feeds}
    from_images, from_trainable = {node_name(network.given)}, set(moving)
    for node in network.graph_def.node:  # a node comes after those that it reads
        sources = {node_name(name) for name in node.input}
        if sources & from_images:
            from_images.add(node.name)
        if sources & from_trainable:
            from_trainable.add(node.name)
    nodes = {node.name: node for node in network.graph_def.node}
    reaching = _ancestors([node_name(network.output)], nodes, set())
    path = [node.name for node in network.graph_def.node if node.name in from_images & reaching]
    places = {name: place for place, name in enumerate(path)}
    last_read = list(range(len(path)))
    other_outputs = set()
    for name in path:
        for given in nodes[name].input:
            source = node_name(given)
            if source in places:
                last_read[places[source]] = max(last_read[places[source]], places[name])
                if ":" in given and not given.endswith(":0"):
                    other_outputs.add(source)
    cut, furthest = network.given, 0
    for place, name in enumerate(path):
        if furthest <= place and name not in from_trainable | other_outputs:
            cut = f"{name}:0"
        furthest = max(furthest, last_read[place])
    return cut
