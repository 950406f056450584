"""The child process in which a Keras file is read: on a damaged one, the HDF5 library itself may crash.

It writes the layers to its standard output, as NumPy's .npz, and what is wrong to standard error.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slimline.pipeline.errors import UserError

REFUSED, DAMAGED = 2, 3
"""Exit codes: a `UserError`, and what h5py raises when the library notices that a file is damaged."""
UNREADABLE = (OSError, LookupError, ValueError, TypeError, RuntimeError, AttributeError, ArithmeticError, MemoryError)
MOST_BYTES = 1 << 31
WHOLE_MODEL = "Save it by model.save('model.h5') and give that file."


class Layer(NamedTuple):
    """A layer's name, and its arrays by what they are: kernel, bias, gamma, moving_mean and so on."""

    name: str
    weights: dict[str, NDArray[Any]]


def read_layers(path: Path) -> list[Layer]:
    """Read the layers that have weights, in the file's order.

    Raises:
        UserError: the file is of another layout, or refers to other files.
    """
    import h5py  # in the child alone: the parent imports this module for its names

    with h5py.File(path, "r") as file:
        root = _root(path, file)
        groups = {name: _group(path, root, name) for name in _names(root, "layer_names")}
        return [layer for name, group in groups.items() for layer in _layers(path, name, group)]


def _root(path: Path, file: Any) -> Any:
    roots = [file, *([_group(path, file, "model_weights")] if "model_weights" in file else [])]
    for root in roots:
        if "layer_names" in root.attrs or "layer_names0" in root.attrs:
            return root
    if "layers" in file or "_layer_checkpoint_dependencies" in file:
        # It names layers by class and depth, so that the order of branches can't be told.
        raise UserError(f"{path} is in the layout of model.save_weights('x.weights.h5').", WHOLE_MODEL)
    raise UserError(f"{path} is HDF5, but no Keras model: it names no layers.", WHOLE_MODEL)


def _names(group: Any, attribute: str) -> list[str]:
    """Read a list of names; a long one is spread over <attribute>0, <attribute>1, ..."""
    if attribute in group.attrs:
        values = list(group.attrs[attribute])
    else:
        values, part = [], 0
        while f"{attribute}{part}" in group.attrs:
            values += list(group.attrs[f"{attribute}{part}"])
            part += 1
    return [value.decode() if isinstance(value, bytes) else str(value) for value in values]


def _group(path: Path, parent: Any, name: str) -> Any:
    """Open what lies below `parent`, one step at a time: a link could lead to any other file of the machine."""
    import h5py  # see `read_layers`

    for step in name.split("/"):
        link = parent.get(step, getlink=True)
        if link is None:
            raise KeyError(f"{name} is missing")
        if not isinstance(link, h5py.HardLink):
            raise UserError(f"{path} has a link in the place of {name}.", WHOLE_MODEL)
        parent = parent[step]
    return parent


def _layers(path: Path, name: str, group: Any) -> list[Layer]:
    """Read one layer, or the layers of a model that stands in a layer's place, by the names of their weights."""
    found: dict[str, dict[str, NDArray[Any]]] = {}
    for weight_name in _names(group, "weight_names"):
        owner, _, short = weight_name.rpartition("/")
        found.setdefault(owner, {})[short.split(":")[0]] = _array(path, group, weight_name)
    if len(found) == 1:
        return [Layer(name, weights) for weights in found.values()]
    return [Layer(owner.rpartition("/")[2], weights) for owner, weights in found.items()]


def _array(path: Path, group: Any, name: str) -> NDArray[Any]:
    dataset = _group(path, group, name)
    if dataset.external or dataset.is_virtual:
        raise UserError(f"{path} keeps {name} in another file.", WHOLE_MODEL)
    if dataset.nbytes > MOST_BYTES:
        raise ValueError(f"{name} says that it is {dataset.nbytes} bytes long")
    array = np.asarray(dataset[()])
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{name} holds {array.dtype}, not numbers")
    return array.astype(np.float32) if array.dtype.kind == "f" else array


def pack(layers: list[Layer]) -> bytes:
    """Write layers as one .npz, whose names are "<number>/<layer>/<array>"."""
    arrays: Any = {
        f"{n}/{name}/{key}": array for n, (name, weights) in enumerate(layers) for key, array in weights.items()
    }
    packed = io.BytesIO()
    np.savez(packed, **arrays)
    return packed.getvalue()


def unpack(packed: bytes) -> list[Layer]:
    """Read what `pack` wrote."""
    layers: dict[str, Layer] = {}
    with np.load(io.BytesIO(packed), allow_pickle=False) as arrays:
        for entry in arrays.files:
            number, _, rest = entry.partition("/")
            name, _, key = rest.rpartition("/")
            layers.setdefault(number, Layer(name, {})).weights[key] = arrays[entry]
    return list(layers.values())


def main(path: str) -> int:
    """Read one file; return the exit code: 0, REFUSED or DAMAGED."""
    try:
        packed = pack(read_layers(Path(path)))
    except UserError as error:
        sys.stderr.write(str(error))
        return REFUSED
    except UNREADABLE as error:
        sys.stderr.write(str(error).strip("'\" ").split("\n")[0] or type(error).__name__)
        return DAMAGED
    sys.stdout.buffer.write(packed)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
