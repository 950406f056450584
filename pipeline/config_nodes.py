"""Composed nodes of a config, compared with their schemas: a plus lets Hydra add keys that no schema has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any
from urllib.parse import quote, unquote

from omegaconf import Container, DictConfig, ListConfig, OmegaConf, open_dict, read_write

from slimline.pipeline.errors import UserError, nearest
from slimline.pipeline.stage import former_names

ENCODED = "%%"
"""How a name begins that Hydra's grammar has no letters for, percent-encoded."""


def percent_encoded(name: str) -> str:
    """Return a name in letters that Hydra's grammar reads; `decode_names` undoes it."""
    return ENCODED + quote(name, safe="").replace("~", "%7E")


def check_keys(node: Any, prefix: str) -> None:
    """Refuse a key of a composed config that its schema does not have, at any depth.

    Raises:
        UserError: there is one, so nothing would read it.
    """
    for parent, name, schema in _unknown(node, prefix):
        raise not_a_setting(parent, name, schema)


def not_a_setting(parent: str, name: str, schema: type) -> UserError:
    """Return the answer to a name that a schema does not have: its present name, or the one nearest to it."""
    known = {item.name: former_names(item) for item in fields(schema)}
    start = f"{parent}." if parent else ""
    if renamed := next((one for one, former in known.items() if name in former), None):
        return UserError(f"{start}{name} has a new name: {start}{renamed}.", f"Write {renamed} instead.")
    return UserError(
        f"{start}{name} is not a setting of this config.{nearest(name, known, start)}",
        f"{parent or 'Its neighbors are'}{' has' if parent else ''}: {', '.join(sorted(known))}.",
    )


def _unknown(node: Any, prefix: str) -> Iterator[tuple[str, str, type]]:
    """Yield each key that a schema does not have: the key above it, its name, the schema."""
    if isinstance(node, ListConfig) and _is_filled(node):
        for place, item in enumerate(node._iter_ex(resolve=False)):
            yield from _unknown(item, f"{prefix}[{place}]")
    if not isinstance(node, DictConfig) or not _is_filled(node):
        return
    schema = OmegaConf.get_type(node)
    for name, value in node.items_ex(resolve=False):
        if schema is not None and is_dataclass(schema) and name not in {item.name for item in fields(schema)}:
            yield prefix, str(name), schema
        yield from _unknown(value, f"{prefix}.{name!s}")


def _is_filled(node: Container) -> bool:
    return not (node._is_none() or node._is_missing() or node._is_interpolation())


def decode_names(node: Any) -> None:
    """Give the names of mappings that no schema lists their own letters back, in place and at any depth."""
    if isinstance(node, ListConfig) and _is_filled(node):
        for item in node._iter_ex(resolve=False):
            decode_names(item)
    if not isinstance(node, DictConfig) or not _is_filled(node):
        return
    for name, value in list(node.items_ex(resolve=False)):
        if isinstance(name, str) and name.startswith(ENCODED):
            with read_write(node), open_dict(node):
                del node[name]
                node[unquote(name.removeprefix(ENCODED))] = value
        else:
            decode_names(value)
