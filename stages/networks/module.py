"""A TF-Slim network as a TF2 module: variables by name, made once, no global collections."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Any

from stages.networks.folding import fold_batch_norms, import_function
from stages.tensorflow import tf

Network = Callable[..., tuple[Any, dict[str, Any]]]


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
        self._constants: dict[str, Any] | None = None
        specification = tf.TensorSpec([None, *input_shape], tf.float32)
        tf.function(lambda inputs: self(inputs)[0], autograph=False).get_concrete_function(specification)

    def __call__(self, inputs: Any, is_training: bool = False, **options: Any) -> tuple[Any, dict[str, Any]]:
        """Run the network: `(output, end_points)`. Call it inside a `tf.function`."""
        scope = tf.compat.v1.get_variable_scope()
        with tf.compat.v1.variable_scope(scope, custom_getter=self._get):
            return self._network(inputs, is_training=is_training, **options)

    def freeze(self, function: Callable[[Any], Any], specification: Any) -> Any:
        """Return `function`, which calls this module, as a concrete function for inference.

        Its variables are constants there, and batch norm is folded into the convolutions.
        """
        self._constants = {name: variable.numpy() for name, variable in self.variables_by_name.items()}
        try:
            traced = tf.function(function, autograph=False).get_concrete_function(specification)
        finally:
            self._constants = None
        names = [[tensor.name for tensor in tensors] for tensors in (traced.inputs, traced.outputs)]
        return import_function(fold_batch_norms(traced.graph.as_graph_def()), *names)

    def _get(self, getter: Any, name: str, *_: Any, **wanted: Any) -> Any:
        """Stand in for `get_variable`, as its custom getter."""
        if self._constants is not None:
            return tf.constant(self._constants[name])
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
