"""Restore variables by name: which variables a network gets from weights, and which it doesn't."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from slimline.pipeline.errors import UserError

MOST_SHOWN = 5
Shape = tuple[int, ...]


def restore_report(
    wanted: Mapping[str, Shape], given: Mapping[str, Shape], exclude_scopes: Sequence[str] = ()
) -> dict[str, list[str]]:
    """Sort every variable into `restored`, `new`, `mismatched` (in both, shapes differ) or `unused`.

    Wanted variables in `exclude_scopes` are new. Each name is in one list only.
    """
    both = {name for name in set(wanted) & set(given) if not in_scopes(name, exclude_scopes)}
    restored = {name for name in both if tuple(wanted[name]) == tuple(given[name])}
    return {
        "restored": sorted(restored),
        "new": sorted(set(wanted) - both),
        "mismatched": sorted(both - restored),
        "unused": sorted(set(given) - set(wanted)),
    }


def in_scopes(name: str, scopes: Sequence[str]) -> bool:
    """Return whether a variable's name is in one of the scopes, or is one of them."""
    return any(name == scope or name.startswith(f"{scope.rstrip('/')}/") for scope in scopes)


def require_restored(
    report: Mapping[str, list[str]],
    wanted: Mapping[str, Shape],
    given: Mapping[str, Shape],
    *,
    source: str,
    exclude_scopes: Sequence[str],
    ignore_missing: bool,
    min_restored: float,
) -> None:
    """Check that the weights fit the network, before any expensive work.

    Raises:
        UserError: shapes differ, variables are missing, or too few parameters are restored.
    """
    for scope in exclude_scopes:
        if not any(in_scopes(name, [scope]) for name in wanted):
            raise UserError(
                f"base.exclude_scopes has {scope!r}, but the network has no variable in that scope.",
                f"Choose from the network's scopes, for example: {', '.join(_scopes(wanted))}.",
            )
    part = _size(report["restored"], wanted) / max(1, _size(wanted, wanted))
    missing = [name for name in report["new"] if not in_scopes(name, exclude_scopes)]
    if part < min_restored and not report["mismatched"]:
        raise UserError(
            f"Only {part:.1%} of the network's parameters are in {source} (base.min_restored={min_restored:g}).",
            f"Missing in the weights, for example: {some_names(missing or report['new'])}",
            f"Not used from the weights: {some_names(report['unused']) or 'none'}",
            "Choose the network that these weights belong to, or lower base.min_restored.",
        )
    if report["mismatched"]:
        name = report["mismatched"][0]
        raise UserError(
            f"{len(report['mismatched'])} variables of {source} have other shapes than the network's.",
            f"For example {name}: {list(given[name])}, but the network's is {list(wanted[name])}.",
            "Check the network and its multiplier, or initialize scopes at random: 'base.exclude_scopes=[SCOPE]'",
        )
    if missing and not ignore_missing:
        raise UserError(
            f"{source} lacks {len(missing)} of the network's {len(wanted)} variables: {some_names(missing)}",
            "Set base.ignore_missing=true to initialize them at random.",
        )


def _size(names: Any, shapes: Mapping[str, Shape]) -> int:
    return sum(prod(shapes[name]) for name in names)


def some_names(names: Sequence[str]) -> str:
    """Return the first few names in one line, and the number of the others."""
    more = f", and {len(names) - MOST_SHOWN} more" if len(names) > MOST_SHOWN else ""
    return ", ".join(names[:MOST_SHOWN]) + more


def _scopes(names: Mapping[str, Any]) -> list[str]:
    """Return the first scopes with their parents, as in base.exclude_scopes."""
    return list(dict.fromkeys("/".join(name.split("/")[:2]) for name in names))[: 2 * MOST_SHOWN]
