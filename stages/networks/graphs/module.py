"""A TF-Slim network as a TF2 module: variables by name, made once, no global collections."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from slimline.stages.backend.tensorflow import tf
from slimline.stages.networks.graphs.folding import constant_node, fold_batch_norms, import_function

Network = Callable[..., tuple[Any, dict[str, Any]]]


class Declared(NamedTuple):
    """A variable as a network asks for it."""

    shape: tuple[int, ...]
    dtype: Any
    trainable: bool
    initializer: Any

    def initial_value(self, name: str, seed: int) -> Any:
        """Draw from (seed, name), so that nothing depends on the order of building."""
        tf.random.set_seed((seed * 1_000_003 + zlib.crc32(name.encode())) % (2**31 - 1))
        return self.initializer(list(self.shape), dtype=self.dtype)


class Outline(NamedTuple):
    """A network before it has weights: its variables in order of construction, its end points' shapes, its graph.

    In the graph a placeholder stands under each variable's name; `given` and `output` name its input and its output.
    """

    variables: dict[str, Declared]
    end_points: dict[str, tuple[int | None, ...]]
    graph: Any
    given: str
    output: str

    def initial_values(self, values: Mapping[str, Any], seed: int) -> dict[str, Any]:
        """Return what each variable begins with: from `values` where these have it, else drawn from (seed, name)."""
        return {
            name: values[name] if name in values else one.initial_value(name, seed).numpy()
            for name, one in self.variables.items()
        }


@lru_cache(maxsize=2)
def outline(network: Network, input_shape: tuple[int, ...]) -> Outline:
    """Trace a network for inference on [None, *input_shape] float32 without making its variables.

    The same network function isn't traced again, which takes EfficientNet-Lite0 0.6 s.
    """
    variables: dict[str, Declared] = {}
    shapes: dict[str, tuple[int | None, ...]] = {}
    tensors: dict[str, Any] = {}

    def get(getter: Any, name: str, *_: Any, **wanted: Any) -> Any:
        if name not in variables:
            variables[name] = declare(wanted)
            # The slash keeps TensorFlow from putting the scope before the name once more.
            tensors[name] = tf.compat.v1.placeholder(variables[name].dtype, variables[name].shape, name=f"{name}/")
        return tensors[name]

    def run(inputs: Any) -> Any:
        output, end_points = call_network(network, get, inputs, is_training=False)
        shapes.update((name, tuple(tensor.shape)) for name, tensor in end_points.items())
        return output

    specification = tf.TensorSpec([None, *input_shape], tf.float32)
    traced = tf.function(run, autograph=False).get_concrete_function(specification)
    return Outline(variables, shapes, traced.graph, traced.inputs[0].name, traced.outputs[0].name)


def freeze(network: Network, values: Mapping[str, Any], input_shape: tuple[int, ...]) -> Any:
    """Return a network for inference, as a function from inputs [None, *input_shape] float32 to its output.

    Its variables are constants, taken from `values` by name, and batch norm is folded into the convolutions.
    """
    made = outline(network, input_shape)
    graph_def = made.graph.as_graph_def()
    for node in graph_def.node:
        if node.name in made.variables:
            dtype = made.variables[node.name].dtype
            node.CopyFrom(constant_node(node.name, np.asarray(values[node.name]), dtype.as_numpy_dtype))
    return import_function(fold_batch_norms(graph_def), made.given, made.output)


def call_network(
    network: Network, getter: Callable[..., Any], inputs: Any, **options: Any
) -> tuple[Any, dict[str, Any]]:
    """Run a network function, `getter` standing in for `tf.compat.v1.get_variable`: (output, end points)."""
    scope = tf.compat.v1.get_variable_scope()
    with tf.compat.v1.variable_scope(scope, custom_getter=getter):
        return network(inputs, **options)


def declare(wanted: Mapping[str, Any]) -> Declared:
    """Return what a network says of a variable when it asks for one, as the getter's keyword arguments."""
    initializer = wanted.get("initializer") or tf.compat.v1.glorot_uniform_initializer()
    return Declared(
        shape=tuple(tf.TensorShape(wanted["shape"]).as_list()),
        dtype=tf.as_dtype(wanted["dtype"]),
        trainable=wanted.get("trainable", True) is not False,
        initializer=initializer() if isinstance(initializer, type) else initializer,
    )


class SlimModule(tf.Module):  # type: ignore[misc]  # TensorFlow carries no types
    """A network function and its variables, keyed by the names that Slim checkpoints use.

    `network(inputs, is_training=...)` returns `(output, end_points)`. Every variable that it asks
    `tf.compat.v1.get_variable` for becomes one `tf.Variable` here, and the same one ever after;
    another module of equal names shares nothing with it.
    """

    def __init__(
        self,
        network: Network,
        input_shape: tuple[int, ...],
        values: Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        """Make the variables that the network's outline on [None, *input_shape] float32 has.

        A variable named in `values` starts there; another draws its initial value from (seed, name).
        """
        super().__init__()
        self._network = network
        made = outline(network, input_shape)
        initial = made.initial_values(values or {}, seed)
        self.variables_by_name: dict[str, Any] = {
            name: tf.Variable(initial[name], trainable=one.trainable, name=name, dtype=one.dtype)
            for name, one in made.variables.items()
        }

    def __call__(self, inputs: Any, is_training: bool = False, **options: Any) -> tuple[Any, dict[str, Any]]:
        """Run the network: `(output, end_points)`. Call it inside a `tf.function`."""

        def get(getter: Any, name: str, *_: Any, **__: Any) -> Any:
            return self.variables_by_name[name]

        return call_network(self._network, get, inputs, is_training=is_training, **options)
