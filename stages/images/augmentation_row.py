"""A row of the table of augmentations: its config and its function, without TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class AugmentationRow:
    """An augmentation: its config class and its function.

    `config` is a subclass of `AugmentationConfig` that no other row has. `function` is `module:name` of a function
    `(encoded, wanted, config, seeds)` that decodes one image, a scalar string, augments it, and returns it as
    [input_px, input_px, 3] float32, about 0 to 255. `wanted` is the network's preprocessing. `seeds` are three seeds,
    each [2] int32, that depend on (seed, image, epoch) only; every random draw must use one of them.
    """

    config: type
    function: str

    def load(self) -> Callable[..., Any]:
        """Import the function's module and return the function."""
        module, _, name = self.function.partition(":")
        function: Callable[..., Any] = getattr(import_module(module), name)
        return function
