"""Read a published file of any kind, by the names of TF-Slim's variables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from slimline.pipeline.errors import UserError
from slimline.stages.networks.weights.checkpoint import read_checkpoint
from slimline.stages.networks.weights.keras_file import map_keras_weights, read_keras_file
from slimline.stages.networks.weights.published import Published
from slimline.stages.networks.weights.torch_file import read_torch_file
from slimline.stages.networks.weights.torch_names import map_torch_weights
from slimline.stages.networks.weights.zoo import pick_averages, unpacked

REINSTALL = "Reinstall the package that contains it."


def read_published(published: Published, path: Path, names: Mapping[str, tuple[int, ...]]) -> dict[str, NDArray[Any]]:
    """Read a network's variables, logits included; `names` has their shapes, in the order of construction.

    Raises:
        UserError: the file is damaged, or is from another network.
    """
    if published.kind == "package":
        return _read_package(path, names)
    if published.kind == "keras":
        return map_keras_weights(read_keras_file(path), names)
    with unpacked(path, published.checkpoint or "") as prefix:
        return pick_averages(read_checkpoint(prefix), names)


def _read_package(path: Path, names: Mapping[str, tuple[int, ...]]) -> dict[str, NDArray[Any]]:
    try:
        mapped = map_torch_weights(read_torch_file(path), list(names))
        wrong = [name for name, shape in names.items() if mapped[name].shape != tuple(shape)]
    except ValueError as error:
        raise UserError(f"{path} is from another network: {error}.", REINSTALL) from error
    if wrong:
        shapes = f"{list(mapped[wrong[0]].shape)}, but the network's is {list(names[wrong[0]])}"
        raise UserError(f"{path} has {wrong[0]} {shapes}.", REINSTALL)
    return mapped
