"""TF-Slim networks as TF2 modules: variables by name, created once, without global collections."""

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
    """A variable as a network declares it."""

    shape: tuple[int, ...]
    dtype: Any
    trainable: bool
    initializer: Any

    def initial_value(self, name: str, seed: int) -> Any:
        """Draw the initial value from (seed, name), so that it doesn't depend on the order of construction."""
        tf.random.set_seed((seed * 1_000_003 + zlib.crc32(name.encode())) % (2**31 - 1))
        return self.initializer(list(self.shape), dtype=self.dtype)


class Outline(NamedTuple):
    """A network without weights: its variables in order of construction, its end points' shapes, its graph.

    The graph has a placeholder for each variable, with its name; `given` and `output` name the input and the output.
    """

    variables: dict[str, Declared]
    end_points: dict[str, tuple[int | None, ...]]
    graph: Any
    given: str
    output: str

    def initial_values(self, values: Mapping[str, Any], seed: int) -> dict[str, Any]:
        """Return each variable's initial value: from `values` if it is there, else drawn from (seed, name)."""
        return {
            name: values[name] if name in values else one.initial_value(name, seed).numpy()
            for name, one in self.variables.items()
        }


@lru_cache(maxsize=2)
def outline(network: Network, input_shape: tuple[int, ...]) -> Outline:
    """Trace a network for inference on [None, *input_shape] float32 without creating its variables.

    The last two outlines are cached: tracing EfficientNet-Lite0 takes 0.6 s.
    """
    variables: dict[str, Declared] = {}
    shapes: dict[str, tuple[int | None, ...]] = {}
    tensors: dict[str, Any] = {}

    def get(getter: Any, name: str, *_: Any, **wanted: Any) -> Any:
        if name not in variables:
            variables[name] = declare(wanted)
            # The slash keeps TensorFlow from adding the scope to the name a second time.
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

    Its variables are replaced by constants from `values`, and batch norm is folded into the convolutions.
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
    """Run a network function with `getter` in place of `tf.compat.v1.get_variable`: (output, end points)."""
    scope = tf.compat.v1.get_variable_scope()
    with tf.compat.v1.variable_scope(scope, custom_getter=getter):
        return network(inputs, **options)


def declare(wanted: Mapping[str, Any]) -> Declared:
    """Return a variable's declaration from the keyword arguments of the network's getter."""
    initializer = wanted.get("initializer") or tf.compat.v1.glorot_uniform_initializer()
    return Declared(
        shape=tuple(tf.TensorShape(wanted["shape"]).as_list()),
        dtype=tf.as_dtype(wanted["dtype"]),
        trainable=wanted.get("trainable", True) is not False,
        initializer=initializer() if isinstance(initializer, type) else initializer,
    )


class SlimModule(tf.Module):  # type: ignore[misc]  # TensorFlow has no type annotations
    """A network function and its variables, by the names that Slim checkpoints use.

    `network(inputs, is_training=...)` returns `(output, end_points)`. Each variable that it gets from
    `tf.compat.v1.get_variable` is one `tf.Variable` of the module, the same one in each call. Modules
    with equal names share no variables.
    """

    def __init__(
        self,
        network: Network,
        input_shape: tuple[int, ...],
        values: Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        """Create the variables of the network's outline on [None, *input_shape] float32.

        Variables in `values` get that value; the others draw their initial value from (seed, name).
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
