"""A TF-Slim network as a TF2 module: variables by name, made once, no global collections."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Any

from stages.networks.folding import fold_batch_norms, import_function
from stages.tensorflow import tf

Network = Callable[..., tuple[Any, dict[str, Any]]]


def freeze(network: Network, values: Mapping[str, Any], input_shape: tuple[int, ...]) -> Any:
    """Return a network for inference, as a function from inputs [None, *input_shape] float32 to its output.

    Its variables are constants, taken from `values` by name, and batch norm is folded into the convolutions.
    """

    def get(getter: Any, name: str, *_: Any, **wanted: Any) -> Any:
        return tf.constant(values[name], wanted["dtype"], tf.TensorShape(wanted["shape"]).as_list())

    def run(inputs: Any) -> Any:
        return _call(network, get, inputs)[0]

    specification = tf.TensorSpec([None, *input_shape], tf.float32)
    traced = tf.function(run, autograph=False).get_concrete_function(specification)
    graph_def = fold_batch_norms(traced.graph.as_graph_def())
    return import_function(graph_def, traced.inputs[0].name, traced.outputs[0].name)


def _call(network: Network, getter: Callable[..., Any], inputs: Any, **options: Any) -> tuple[Any, dict[str, Any]]:
    scope = tf.compat.v1.get_variable_scope()
    with tf.compat.v1.variable_scope(scope, custom_getter=getter):
        return network(inputs, **options)


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
        """Make the variables by tracing once on [None, *input_shape] float32.

        A variable named in `values` starts there; another draws its initial value from (seed, name).
        """
        super().__init__()
        self.variables_by_name: dict[str, Any] = {}
        self._network, self._values, self._seed = network, dict(values or {}), seed
        specification = tf.TensorSpec([None, *input_shape], tf.float32)
        tf.function(lambda inputs: self(inputs)[0], autograph=False).get_concrete_function(specification)

    def __call__(self, inputs: Any, is_training: bool = False, **options: Any) -> tuple[Any, dict[str, Any]]:
        """Run the network: `(output, end_points)`. Call it inside a `tf.function`."""
        return _call(self._network, self._get, inputs, is_training=is_training, **options)

    def _get(self, getter: Any, name: str, *_: Any, **wanted: Any) -> Any:
        """Stand in for `get_variable`, as its custom getter."""
        if name not in self.variables_by_name:
            with tf.init_scope():
                value = self._values.pop(name, None)
                value = self._initial_value(name, wanted) if value is None else value
                dtype = tf.as_dtype(wanted["dtype"])
                self.variables_by_name[name] = tf.Variable(
                    value, trainable=wanted.get("trainable", True), name=name, dtype=dtype
                )
        return self.variables_by_name[name]

    def _initial_value(self, name: str, wanted: Mapping[str, Any]) -> Any:
        """Draw from (seed, name), so that nothing depends on the order of building."""
        initializer = wanted.get("initializer") or tf.compat.v1.glorot_uniform_initializer()
        initializer = initializer() if isinstance(initializer, type) else initializer
        tf.random.set_seed((self._seed * 1_000_003 + zlib.crc32(name.encode())) % (2**31 - 1))
        return initializer(tf.TensorShape(wanted["shape"]).as_list(), dtype=tf.as_dtype(wanted["dtype"]))
