"""Keras' HDF5 files: their layers in the order of construction, and how they map to TF-Slim's names.

Two layouts are read: weights alone, as Keras Applications publishes them, and whole models, as
`model.save("x.h5")` writes them. Only arrays and names are taken; nothing that a file holds is run.
Source: keras/src/legacy/saving/legacy_h5_format.py
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimline.pipeline.errors import UserError
from slimline.stages.networks.weights import keras_child as keras_layers
from slimline.stages.networks.weights.keras_child import DAMAGED, REFUSED, WHOLE_MODEL, Layer, unpack

RUNNING = re.compile(r"(conv2d|depthwise_conv2d|separable_conv2d|batch_normalization|dense)(?:_(\d+))?")
"""The names that Keras gives on its own, by kind, with the number that it counts up for each model built."""
KERNELS = {"kernel": "weights", "depthwise_kernel": "depthwise_weights", "pointwise_kernel": "pointwise_weights"}
NORMS = ("gamma", "beta", "moving_mean", "moving_variance")
Shape = tuple[int, ...]
MOST_SECONDS = 300
OTHER = "Is the file of another network? Give the one that base.network, its multiplier and its classes fit."


def read_keras_file(path: Path) -> list[Layer]:
    """Read the layers that have weights, in the order in which the model's code made them.

    A file lists its layers by their depth in the graph, which differs where a network branches; there the
    running numbers of Keras' own names tell the order. Layers with names of their own stay where they are.

    Raises:
        UserError: the file is damaged, of another layout, or refers to other files.
    """
    # -P: the folder that we are in holds no modules, unless PYTHONPATH says so.
    command = [sys.executable, "-P", "-m", keras_layers.__name__, str(path.absolute())]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(part or "." for part in sys.path)}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, timeout=MOST_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise _damaged(path, f"it took more than {MOST_SECONDS} s") from error
    said = done.stderr.decode(errors="replace")
    if done.returncode == REFUSED:
        raise UserError(*said.splitlines())
    if done.returncode == DAMAGED or done.returncode < 0:
        raise _damaged(path, said if done.returncode == DAMAGED else "it crashes the HDF5 library")
    if done.returncode != 0:
        raise RuntimeError(f"the process that reads {path} failed:\n{said}")
    layers = unpack(done.stdout)
    if not layers:
        raise UserError(f"{path} holds no layer with weights.", WHOLE_MODEL)
    return _by_construction(layers)


def _damaged(path: Path, reason: str) -> UserError:
    return UserError(
        f"{path} can't be read as a Keras file (HDF5): {reason}.",
        "It is cut or damaged, or of another kind: copy or download it again.",
    )


def _by_construction(layers: list[Layer]) -> list[Layer]:
    """Sort the layers with running numbers within their kind; the places of each kind stay."""
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
    """Count the outputs of the layer that names classes: the last one, if it has a bias; else None."""
    last = [layer.weights for layer in layers if "kernel" in layer.weights or "pointwise_kernel" in layer.weights][-1:]
    return len(last[0]["bias"]) if last and "bias" in last[0] else None


def map_keras_weights(layers: Sequence[Layer], names: Mapping[str, Shape]) -> dict[str, NDArray[Any]]:
    """Map layers to TF-Slim's variables, `names` with their shapes: both are in the order of construction.

    A dense layer [width, classes] becomes a 1x1 convolution. The logits' variables are left out where the
    file has no such layer, and the file's own classifier where `names` has none.

    Raises:
        UserError: a layer differs in kind, number or shape from the network's.
    """
    for layer in layers:
        if unknown := sorted(set(layer.weights) - {*KERNELS, *NORMS, "bias"}):
            raise UserError(f"The layer {layer.name} holds {unknown[0]}, which no layer of the network has.", OTHER)
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
    """Find the ImageNet layer's kernel: the last one, in a scope that says so."""
    last = [name for name in names if name.endswith("/weights")][-1:]
    return last[0] if last and "logits" in last[0].lower().split("/") else None


def _slim_kind(layer: Layer, key: str) -> str | None:
    """Return what TF-Slim calls an array; Keras 3 calls the kernel of a depthwise convolution just that, too."""
    shape = layer.weights[key].shape
    depthwise = key == "kernel" and len(shape) == 4 and shape[3] == 1 and min(shape[:3]) > 1
    return "depthwise_weights" if depthwise else KERNELS.get(key)


def _pairs(
    found: Sequence[tuple[Layer, str]], wanted: Sequence[str], names: Mapping[str, Shape]
) -> list[tuple[tuple[Layer, str], str]]:
    """Pair the file's layers with the network's; where one has more of them, name the first that has no partner."""
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
    raise UserError(f"No layer is there for the network's {name} {list(names[name])}: {counts}.", OTHER)


def _take(mapped: dict[str, NDArray[Any]], layer: Layer, key: str, name: str, names: Mapping[str, Shape]) -> None:
    """Map one array, if both sides have it; one side alone is an error."""
    if name in names and key in layer.weights:
        mapped[name] = _fit(layer, key, name, names[name])
    elif name in names:
        raise UserError(f"The layer {layer.name} has no {key}, for the network's {name} {list(names[name])}.", OTHER)
    elif key in layer.weights:
        shape = list(layer.weights[key].shape)
        raise UserError(f"The layer {layer.name} has {key} {shape}, where the network has no {name}.", OTHER)


def _fit(layer: Layer, key: str, name: str, shape: Shape) -> NDArray[Any]:
    array = layer.weights[key]
    fitting = array[None, None] if array.ndim == 2 and len(shape) == 4 else array
    if fitting.shape != tuple(shape):
        raise UserError(
            f"The layer {layer.name} has {key} {list(array.shape)}, where the network's {name} is {list(shape)}.", OTHER
        )
    if array.dtype != np.float32:
        raise UserError(f"The layer {layer.name} has {key} of type {array.dtype}, not of floating point.", OTHER)
    return fitting
