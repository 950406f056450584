"""Read the tensors of a PyTorch file in the old (pre-zip) format, without torch and without running its code.

The file is five pickles (magic, protocol version, system information, the state dict, the storages'
keys), then each storage in that order as an int64 count and raw little-endian values.
Source: torch/serialization.py, `_legacy_load`.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slimline.pipeline.errors import UserError

MAGIC = 0x1950A86A20F9469CFC6C
STORAGE_TYPES = {
    "FloatStorage": "<f4",
    "LongStorage": "<i8",
    "HalfStorage": "<f2",
    "DoubleStorage": "<f8",
    "IntStorage": "<i4",
}


class _Storage(NamedTuple):
    dtype: str
    key: str


class _View(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _view(storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any) -> _View:
    return _View(storage, offset, tuple(shape), tuple(strides))


class _Tensors(pickle.Unpickler):
    """An unpickler that accepts an ordered dict, tensor views and storage types, and refuses all other names."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _view
        if module == "torch" and name in STORAGE_TYPES:
            return STORAGE_TYPES[name]
        raise pickle.UnpicklingError(f"it refers to {module}.{name}, but only tensors are allowed")

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, *_ = pid
        if kind != "storage":
            raise pickle.UnpicklingError(f"it refers to {kind!r}, but only storages are allowed")
        return _Storage(dtype, key)


def _read_storages(file: BinaryIO, keys: list[str], dtypes: dict[str, str]) -> dict[str, NDArray[Any]]:
    storages = {}
    for key in keys:
        count = int(np.frombuffer(file.read(8), "<i8")[0])
        dtype = np.dtype(dtypes[key])
        raw = file.read(count * dtype.itemsize)
        storages[key] = np.frombuffer(raw, dtype, count)
    return storages


def read_torch_file(path: Path) -> dict[str, NDArray[Any]]:
    """Read a state dict: each tensor by its name, as an array of the file's own shape and type.

    Raises:
        UserError: the file is damaged, has another format, or contains anything but tensors.
    """
    try:
        with path.open("rb") as file:
            magic, _, _ = (_Tensors(file).load() for _ in range(3))
            if magic != MAGIC:
                raise pickle.UnpicklingError("its first number is not that of a PyTorch file")
            views: dict[str, _View] = _Tensors(file).load()
            keys = _Tensors(file).load()
            storages = _read_storages(file, keys, {view.storage.key: view.storage.dtype for view in views.values()})
        tensors = {}
        for name, view in views.items():
            values = storages[view.storage.key]
            strides = tuple(stride * values.itemsize for stride in view.strides)
            span = view.offset + sum((size - 1) * stride for size, stride in zip(view.shape, view.strides, strict=True))
            if (
                min(view.shape, default=1) < 1
                or view.offset < 0
                or min(view.strides, default=0) < 0
                or span >= len(values)
            ):
                raise pickle.UnpicklingError(f"{name} reaches outside its storage")
            tensors[name] = np.lib.stride_tricks.as_strided(values[view.offset :], view.shape, strides).copy()
    except (
        pickle.UnpicklingError,
        EOFError,
        ValueError,
        KeyError,
        IndexError,
        TypeError,
        AttributeError,
    ) as error:
        raise UserError(
            f"{path} can't be read as a PyTorch state dict: {error}.",
            "Reinstall the package that contains it; files in PyTorch's newer zip format aren't supported.",
        ) from error
    return tensors
