"""A row of the table of heads: a head's config and factory, without TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class HeadRow:
    """A head: its config class, its factory, and the name of its first weights.

    `config` is `HeadConfig` or a subclass, whose `kind` is the head's name. `function` is `module:name` of a factory
    `(num_classes, **options) -> head`, whose options are the config's fields. The head maps features [batch, width] to
    `(logits [batch, num_classes], end points)`, and its variables are in the scope `Head`.

    `first_weights` are the weights in that scope that the features are multiplied by first. If they are named, training
    scales the features to a common spread and multiplies the factor into these weights; with None, it doesn't scale
    the features.
    """

    config: type
    function: str
    first_weights: str | None = None

    def load(self) -> Callable[..., Callable[..., Any]]:
        """Import the factory's module and return the factory."""
        module, _, name = self.function.partition(":")
        factory: Callable[..., Callable[..., Any]] = getattr(import_module(module), name)
        return factory
