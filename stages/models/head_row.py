"""A row of the table of heads: what is known of a head, without TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class HeadRow:
    """What is known of a head: its config, how to build it, which of its weights its features are multiplied by.

    `config` is a subclass of `HeadConfig` (or that itself), whose `kind` is the head's name. `function` is
    `module:name` of a factory `(num_classes, **options) -> head`, whose options are the config's fields; the head maps
    features [batch, width] to `(logits [batch, num_classes], end points)`, and its variables are in the scope `Head`.

    `first_weights`, inside that scope, are multiplied by the features, first of all. Where there are such, the features
    are brought to one spread for training, and the factor goes into these weights; None leaves features as they are.
    """

    config: type
    function: str
    first_weights: str | None = None

    def load(self) -> Callable[..., Callable[..., Any]]:
        """Import the factory's module and return the factory."""
        module, _, name = self.function.partition(":")
        factory: Callable[..., Callable[..., Any]] = getattr(import_module(module), name)
        return factory
