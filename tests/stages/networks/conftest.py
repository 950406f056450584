"""Reference weights, which are generated from variable names, and networks run with them."""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from slimline.stages.backend.tensorflow import tf
from slimline.stages.networks.graphs.module import SlimModule
from tests.conftest import shared


class Result(NamedTuple):
    """A network's result: its variables' shapes in the order of construction, its output, its end points."""

    shapes: dict[str, tuple[int, ...]]
    output: Any
    end_points: dict[str, Any]
    seconds: float


class ByName(Mapping[str, Any]):
    """A mapping that generates the reference weights for each variable's shape."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._shapes = shapes

    def __getitem__(self, name: str) -> Any:
        return weights_by_name(name, self._shapes[name])

    def __iter__(self) -> Any:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)


@lru_cache(maxsize=400)  # about one network, which runs twice in a row; drawing the weights takes half of the time
def weights_by_name(name: str, shape: tuple[int, ...]) -> Any:
    """Draw a variable's value as described in the reference outputs' README."""
    random = np.random.RandomState(zlib.crc32(name.encode()))
    kind = name.rpartition("/")[2]
    if kind in ("weights", "depthwise_weights"):
        fan = np.prod(shape[:3] if kind == "weights" else shape[:2])
        value = random.standard_normal(shape) * np.sqrt(2 / fan)
    elif kind in ("gamma", "moving_variance"):
        low, high = (0.8, 1.2) if kind == "gamma" else (0.5, 1.5)
        value = random.uniform(low, high, shape)
    else:
        value = random.standard_normal(shape) * 0.1
    return value.astype(np.float32)


def reference_images(size_px: int) -> Any:
    return np.random.RandomState(7).uniform(-1, 1, [2, size_px, size_px, 3]).astype(np.float32)


def reference(name: str) -> tuple[dict[str, tuple[int, ...]], Mapping[str, Any]]:
    """Read a reference's variables, as shapes by name, and its outputs; skip the test if it is absent."""
    folder = shared(f"reference/{name}")
    shapes = json.loads((folder / "variables.json").read_text())
    with np.load(folder / "outputs.npz") as outputs:
        return {name: tuple(shape) for name, shape in shapes.items()}, dict(outputs)


def run(network: Callable[..., Any], shapes: Mapping[str, tuple[int, ...]], images: Any) -> Result:
    """Run a network as a module, with the reference weights of its variables' names."""
    started = time.thread_time()
    module = SlimModule(network, images.shape[1:], ByName(shapes))
    output, end_points = tf.function(lambda inputs: module(inputs), autograph=False)(tf.constant(images))
    seconds = time.thread_time() - started
    made = {name: tuple(variable.shape) for name, variable in module.variables_by_name.items()}
    return Result(made, output.numpy(), {name: tensor.numpy() for name, tensor in end_points.items()}, seconds)


def run_directly(network: Callable[..., Any], images: Any, values: Mapping[str, Any] | None = None) -> Any:
    """Run another library's network without a module; it returns one tensor or a dict of tensors."""

    def get(getter: Any, name: str, *_: Any, **wanted: Any) -> Any:
        with tf.init_scope():
            shape = tuple(tf.TensorShape(wanted["shape"]).as_list())
            return tf.constant(weights_by_name(name, shape) if values is None else values[name])

    @tf.function(autograph=False)
    def traced(inputs: Any) -> Any:
        scope = tf.compat.v1.get_variable_scope()
        with tf.compat.v1.variable_scope(scope, custom_getter=get):
            return network(inputs)

    return tf.nest.map_structure(lambda tensor: tensor.numpy(), traced(tf.constant(images)))


def relative_error(found: Any, expected: Any) -> float:
    """Return the distance divided by the norm of `expected`, which must not be constant."""
    assert np.ptp(expected) > 0.1
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))
