"""Map PyTorch's weights to TF-Slim's names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Weights = Mapping[str, NDArray[Any]]
TORCH_BATCH_NORM = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}


def map_torch_weights(tensors: Weights, names: list[str]) -> dict[str, NDArray[Any]]:
    """Map a PyTorch state dict to TF-Slim's names: both list their layers in the order of construction.

    Convolutions [out, in, height, width] become [height, width, in, out], depthwise ones [height, width,
    channels, 1], and the last layer [classes, width] a 1x1 convolution.

    Raises:
        ValueError: the two don't have the same layers.
    """
    kernels = [name for name, tensor in tensors.items() if tensor.ndim in (2, 4)]
    biases = [name for name in tensors if name.endswith(".bias") and name.removesuffix("bias") + "weight" in kernels]
    norms = [name.removesuffix(".running_mean") for name in tensors if name.endswith(".running_mean")]
    slim_norms = [name.removesuffix("/beta") for name in names if name.endswith("/BatchNorm/beta")]
    slim_kernels = [name for name in names if name.endswith("weights")]
    slim_biases = [name for name in names if name.endswith("biases")]
    mapped = {slim: _kernel(tensors[name], slim) for name, slim in zip(kernels, slim_kernels, strict=True)}
    mapped.update((slim, tensors[name]) for name, slim in zip(biases, slim_biases, strict=True))
    for norm, slim_norm in zip(norms, slim_norms, strict=True):
        mapped.update((f"{slim_norm}/{slim}", tensors[f"{norm}.{torch}"]) for torch, slim in TORCH_BATCH_NORM.items())
    if set(mapped) != set(names):
        raise ValueError(f"the file's layers don't cover {sorted(set(names) - set(mapped))[:3]}")
    return mapped


def _kernel(tensor: NDArray[Any], slim_name: str) -> NDArray[Any]:
    if tensor.ndim == 2:
        return np.ascontiguousarray(tensor.T[None, None])
    axes = (2, 3, 0, 1) if slim_name.endswith("depthwise_weights") else (2, 3, 1, 0)
    return np.ascontiguousarray(tensor.transpose(axes))
