"""Tables: entries by name, as text, each imported when it is looked up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, Generic, TypeVar, cast

K = TypeVar("K")
V = TypeVar("V")


class Table(Mapping[K, V], Generic[K, V]):
    """A mapping of names to what `module:attribute` refers to.

    A module that holds nothing but tables is in a store key by what a stage's `choices` took from it: see `Stage`.
    """

    def __init__(self, references: Mapping[K, str]) -> None:
        self.references = dict(references)

    def __getitem__(self, name: K) -> V:
        """Import the entry's module and return the entry."""
        module, _, attribute = self.references[name].partition(":")
        return cast(V, getattr(import_module(module), attribute))

    def __iter__(self) -> Iterator[K]:
        return iter(self.references)

    def __len__(self) -> int:
        return len(self.references)

    def __contains__(self, name: Any) -> bool:
        return name in self.references
