"""Read a Keras file in a child process: with a damaged file, the HDF5 library itself may crash.

The process writes the layers to standard output, as NumPy's .npz, and errors to standard error.
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
"""Exit codes: for a `UserError`, and for h5py's errors when the library detects a damaged file."""
UNREADABLE = (OSError, LookupError, ValueError, TypeError, RuntimeError, AttributeError, ArithmeticError, MemoryError)
MOST_BYTES = 1 << 31
WHOLE_MODEL = "Save the model with model.save('model.h5') and use that file."


class Layer(NamedTuple):
    """A layer's name, and its arrays by their kind: kernel, bias, gamma, moving_mean and so on."""

    name: str
    weights: dict[str, NDArray[Any]]


def read_layers(path: Path) -> list[Layer]:
    """Read the layers that have weights, in the file's order.

    Raises:
        UserError: the file has another layout, or refers to other files.
    """
    import h5py  # only in the child: the parent imports this module for its names

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
        # Its names are by class and depth, so the order of branches is unknown.
        raise UserError(f"{path} has the layout of model.save_weights('x.weights.h5').", WHOLE_MODEL)
    raise UserError(f"{path} is HDF5, but not a Keras model: it has no layer names.", WHOLE_MODEL)


def _names(group: Any, attribute: str) -> list[str]:
    """Read a list of names; a long list is split into <attribute>0, <attribute>1, ..."""
    if attribute in group.attrs:
        values = list(group.attrs[attribute])
    else:
        values, part = [], 0
        while f"{attribute}{part}" in group.attrs:
            values += list(group.attrs[f"{attribute}{part}"])
            part += 1
    return [value.decode() if isinstance(value, bytes) else str(value) for value in values]


def _group(path: Path, parent: Any, name: str) -> Any:
    """Open an object below `parent`, one step at a time: a link could lead to any other file on the machine."""
    import h5py  # see `read_layers`

    for step in name.split("/"):
        link = parent.get(step, getlink=True)
        if link is None:
            raise KeyError(f"{name} is missing")
        if not isinstance(link, h5py.HardLink):
            raise UserError(f"{path} has a link in place of {name}.", WHOLE_MODEL)
        parent = parent[step]
    return parent


def _layers(path: Path, name: str, group: Any) -> list[Layer]:
    """Read one layer, or the layers of a model that is used as a layer, by the names of their weights."""
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
        raise UserError(f"{path} stores {name} in another file.", WHOLE_MODEL)
    if dataset.nbytes > MOST_BYTES:
        raise ValueError(f"{name} has a stated size of {dataset.nbytes} bytes, more than {MOST_BYTES}")
    array = np.asarray(dataset[()])
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{name} contains {array.dtype}, not numbers")
    return array.astype(np.float32) if array.dtype.kind == "f" else array


def pack(layers: list[Layer]) -> bytes:
    """Write layers as one .npz, with the names "<number>/<layer>/<array>"."""
    arrays: Any = {
        f"{n}/{name}/{key}": array for n, (name, weights) in enumerate(layers) for key, array in weights.items()
    }
    packed = io.BytesIO()
    np.savez(packed, **arrays)
    return packed.getvalue()


def unpack(packed: bytes) -> list[Layer]:
    """Read layers that were written by `pack`."""
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
