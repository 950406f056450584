"""Keras' HDF5 files: their layers in the order of construction, and their mapping to TF-Slim's names.

Two layouts are supported: weights only, as published by Keras Applications, and whole models, as
written by `model.save("x.h5")`. Only arrays and names are read; no code in a file is run.
Source: keras/src/legacy/saving/legacy_h5_format.py
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimline.pipeline.errors import HelperLost, UserError
from slimline.stages.networks.weights import keras_child as keras_layers
from slimline.stages.networks.weights.keras_child import DAMAGED, REFUSED, WHOLE_MODEL, Layer, unpack

RUNNING = re.compile(r"(conv2d|depthwise_conv2d|separable_conv2d|batch_normalization|dense)(?:_(\d+))?")
"""Keras' default names, by kind, with a number that continues from model to model."""
KERNELS = {"kernel": "weights", "depthwise_kernel": "depthwise_weights", "pointwise_kernel": "pointwise_weights"}
NORMS = ("gamma", "beta", "moving_mean", "moving_variance")
Shape = tuple[int, ...]
MOST_SECONDS = 300
ENDED_FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM)
"""Signals that the system or a user sends, for example when memory runs out; a damaged file causes others."""

OTHER = "Check that the file is from the same network, with the same multiplier and number of classes."


def read_keras_file(path: Path) -> list[Layer]:
    """Read the layers that have weights, in the order in which the model's code created them.

    A file lists its layers by their depth in the graph, which is another order if the network has branches.
    The numbers in Keras' default names give the right order. Layers with other names keep their places.

    Raises:
        UserError: the file is damaged, has another layout, or refers to other files.
        HelperLost: the process that reads the file was ended from outside, for example because memory ran out.
    """
    # -P: don't import modules from the current folder, unless PYTHONPATH contains it.
    command = [sys.executable, "-P", "-m", keras_layers.__name__, str(path.absolute())]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(part or "." for part in sys.path)}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, timeout=MOST_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise _damaged(path, f"reading it took more than {MOST_SECONDS} s") from error
    said = done.stderr.decode(errors="replace")
    if done.returncode == REFUSED:
        raise UserError(*said.splitlines())
    if -done.returncode in ENDED_FROM_OUTSIDE:
        raise HelperLost(
            f"The process that reads {path} was ended by signal {-done.returncode}.",
            "Run the same command again. If memory ran out, close other programs first.",
        )
    if done.returncode == DAMAGED or done.returncode < 0:
        raise _damaged(path, said if done.returncode == DAMAGED else "it crashes the HDF5 library")
    if done.returncode != 0:
        raise RuntimeError(f"the process that reads {path} failed:\n{said}")
    layers = unpack(done.stdout)
    if not layers:
        raise UserError(f"{path} has no layer with weights.", WHOLE_MODEL)
    return _by_construction(layers)


def _damaged(path: Path, reason: str) -> UserError:
    return UserError(
        f"{path} can't be read as a Keras file (HDF5): {reason}.",
        "Copy or download it again: it is truncated, damaged, or another kind of file.",
    )


def _by_construction(layers: list[Layer]) -> list[Layer]:
    """Sort the layers with default names within their kind; each kind keeps its places."""
    ordered = list(layers)
    kinds: dict[str, list[tuple[int, int]]] = {}
    for place, layer in enumerate(layers):
        if match := RUNNING.fullmatch(layer.name):
            kinds.setdefault(match[1], []).append((int(match[2] or 0), place))
    for numbered in kinds.values():
        places = [place for _, place in numbered]
        for place, (_, source) in zip(places, sorted(numbered), strict=True):
            ordered[place] = layers[source]
    return ordered


def class_count(layers: Sequence[Layer]) -> int | None:
    """Return the number of outputs of the classification layer: the last one, if it has a bias; else None."""
    last = [layer.weights for layer in layers if "kernel" in layer.weights or "pointwise_kernel" in layer.weights][-1:]
    return len(last[0]["bias"]) if last and "bias" in last[0] else None


def map_keras_weights(layers: Sequence[Layer], names: Mapping[str, Shape]) -> dict[str, NDArray[Any]]:
    """Map layers to TF-Slim's variables, `names` with their shapes: both are in the order of construction.

    A dense layer [width, classes] becomes a 1x1 convolution. The logits' variables are omitted if the file has
    no such layer, and the file's own classifier is omitted if `names` has none.

    Raises:
        UserError: a layer differs in kind, number or shape from the network's.
    """
    for layer in layers:
        if unknown := sorted(set(layer.weights) - {*KERNELS, *NORMS, "bias"}):
            raise UserError(f"The layer {layer.name} has {unknown[0]}, which no layer of the network has.", OTHER)
    logits = _logits(names)
    mapped: dict[str, NDArray[Any]] = {}
    for kind in KERNELS.values():
        found = [(layer, key) for layer in layers for key in layer.weights if _slim_kind(layer, key) == kind]
        wanted = [name for name in names if name.endswith(f"/{kind}")]
        if len(found) == len(wanted) - 1 and wanted[-1] == logits:
            wanted.pop()
        if logits is None:
            found = found[: len(wanted)]
        for (layer, key), name in _pairs(found, wanted, names):
            _take(mapped, layer, key, name, names)
            scope = name.rpartition("/")[0]
            if key != "depthwise_kernel" or "pointwise_kernel" not in layer.weights:
                _take(mapped, layer, "bias", f"{scope}/biases", names)
    norms = [(layer, "moving_mean") for layer in layers if "moving_mean" in layer.weights]
    wanted = [name for name in names if name.endswith("/moving_mean")]
    for (layer, _), name in _pairs(norms[: len(wanted)] if logits is None else norms, wanted, names):
        for key in NORMS:
            _take(mapped, layer, key, f"{name.rpartition('/')[0]}/{key}", names)
    return mapped


def _logits(names: Mapping[str, Shape]) -> str | None:
    """Return the kernel of the ImageNet layer: the last one, if its scope is named "logits"; else None."""
    last = [name for name in names if name.endswith("/weights")][-1:]
    return last[0] if last and "logits" in last[0].lower().split("/") else None


def _slim_kind(layer: Layer, key: str) -> str | None:
    """Return TF-Slim's name for an array; Keras 3 calls a depthwise convolution's kernel "kernel" too."""
    shape = layer.weights[key].shape
    depthwise = key == "kernel" and len(shape) == 4 and shape[3] == 1 and min(shape[:3]) > 1
    return "depthwise_weights" if depthwise else KERNELS.get(key)


def _pairs(
    found: Sequence[tuple[Layer, str]], wanted: Sequence[str], names: Mapping[str, Shape]
) -> list[tuple[tuple[Layer, str], str]]:
    """Pair the file's layers with the network's; if the numbers differ, the error names the first unpaired one."""
    pairs = list(zip(found, wanted, strict=False))
    if len(found) == len(wanted):
        return pairs
    for (layer, key), name in pairs:
        _fit(layer, key, name, names[name])
    counts = f"the file has {len(found)} of this kind, the network {len(wanted)}"
    if len(found) > len(wanted):
        layer, key = found[len(wanted)]
        shape = list(layer.weights[key].shape)
        raise UserError(f"The layer {layer.name}, {key} {shape}, is not in the network: {counts}.", OTHER)
    name = wanted[len(found)]
    raise UserError(f"The file has no layer for the network's {name} {list(names[name])}: {counts}.", OTHER)


def _take(mapped: dict[str, NDArray[Any]], layer: Layer, key: str, name: str, names: Mapping[str, Shape]) -> None:
    """Map one array if both sides have it; it is an error if only one side has it."""
    if name in names and key in layer.weights:
        mapped[name] = _fit(layer, key, name, names[name])
    elif name in names:
        raise UserError(f"The layer {layer.name} has no {key}, for the network's {name} {list(names[name])}.", OTHER)
    elif key in layer.weights:
        shape = list(layer.weights[key].shape)
        raise UserError(f"The layer {layer.name} has {key} {shape}, but the network has no {name}.", OTHER)


def _fit(layer: Layer, key: str, name: str, shape: Shape) -> NDArray[Any]:
    array = layer.weights[key]
    fitting = array[None, None] if array.ndim == 2 and len(shape) == 4 else array
    if fitting.shape != tuple(shape):
        raise UserError(
            f"The layer {layer.name} has {key} {list(array.shape)}, but the network's {name} is {list(shape)}.", OTHER
        )
    if array.dtype != np.float32:
        raise UserError(f"The layer {layer.name} has {key} of type {array.dtype}, not floating point.", OTHER)
    return fitting
