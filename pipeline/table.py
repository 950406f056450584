"""Tables: entries by name, written as text and imported on lookup; plug-ins can add to some of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from importlib import import_module
from types import MappingProxyType
from typing import Any, Generic, TypeVar, cast

from slimline.pipeline.plugins import Plugin, clash, plugins_of

K = TypeVar("K")
V = TypeVar("V")
W = TypeVar("W")


class Table(Mapping[K, V], Generic[K, V]):
    """A mapping of names to the objects that `module:attribute` refers to.

    A store key contains only the entries that a stage's `choices` take from a table: see `Stage`. A table with a
    `group` of entry points also lists the plug-ins' entries, which must be of the type `kind`.
    """

    def __init__(self, references: Mapping[K, str], group: str = "", kind: type = object) -> None:
        self._own, self._group, self._kind = dict(references), group, kind

    @cached_property
    def plugins(self) -> dict[str, Plugin]:
        """The plug-ins' entries, by name.

        Raises:
            UserError: one has a name that is already used.
        """
        found = plugins_of(self._group) if self._group else {}
        for name, plugin in found.items():
            if name in self._own:
                raise clash(plugin, "Slimline itself")
        return found

    @cached_property
    def references(self) -> dict[K, str]:
        """The `module:attribute` of all entries, Slimline's own first."""
        return {**self._own, **{cast(K, name): plugin.reference for name, plugin in self.plugins.items()}}

    def __getitem__(self, name: K) -> V:
        """Import the entry's module and return the entry.

        Raises:
            UserError: a plug-in's entry cannot be loaded, or has the wrong type.
        """
        reference = self.references[name]
        plugin = self.plugins.get(cast(str, name))
        if plugin is None:
            module, _, attribute = reference.partition(":")
            return cast(V, getattr(import_module(module), attribute))
        found = plugin.load()
        if not isinstance(found, self._kind):
            raise plugin.refused(f"is a {type(found).__name__}, but must be a {self._kind.__name__}")
        return cast(V, found)

    def __iter__(self) -> Iterator[K]:
        return iter(self.references)

    def __len__(self) -> int:
        return len(self.references)

    def __contains__(self, name: Any) -> bool:
        return name in self.references


class Derived(Mapping[str, W], Generic[V, W]):
    """The result of a function for each entry of a table, computed on lookup; its name is the entry's after `prefix`.

    The entries in `beside` are listed first. As a stage's `schemas`, it lets plug-ins add options with fields of their
    own.
    """

    def __init__(
        self,
        table: Mapping[str, V],
        make: Callable[[V], W],
        prefix: str = "",
        beside: Mapping[str, W] = MappingProxyType({}),
    ) -> None:
        self._table, self._make, self._prefix, self._beside = table, make, prefix, beside

    def __getitem__(self, name: str) -> W:
        if name in self._beside:
            return self._beside[name]
        if not name.startswith(self._prefix):
            raise KeyError(name)
        return self._make(self._table[name.removeprefix(self._prefix)])

    def __iter__(self) -> Iterator[str]:
        yield from self._beside
        yield from (f"{self._prefix}{name}" for name in self._table)

    def __len__(self) -> int:
        return len(self._beside) + len(self._table)
