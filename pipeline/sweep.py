"""Sweeps: compare the points of a `--multirun`, to complete the best of them."""

from __future__ import annotations

import math
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slimline.pipeline.errors import UserError
from slimline.pipeline.run import read_manifest
from slimline.pipeline.text_table import text_table

TOKEN = "SLIMLINE_SWEEP"
"""The environment variable that tells a launcher's processes which sweep they belong to."""


MILLION = 1_000_000


@dataclass(frozen=True)
class Point:
    """One point of a sweep: its overrides, its score (None if it failed), its run, and the facts to show."""

    overrides: list[str]
    score: float | None
    path: Path
    seconds: float
    columns: Mapping[str, Any] = field(default_factory=dict)


def begin_sweep() -> str:
    """Begin a new sweep for this process and those that it starts; return its token."""
    os.environ[TOKEN] = secrets.token_hex(8)
    return os.environ[TOKEN]


def sweep_points(
    folder: Path, token: str, target: str, metric: str, maximize: bool, columns: Sequence[str] = ()
) -> list[Point]:
    """Read a sweep's points from their manifests, best first, those without a score last.

    `metric` is a fact of the target stage, or of another stage as `stage.fact`. Each of `columns` is a `stage.fact`.
    """
    points = []
    for path in sorted(folder.glob("v*/manifest.json")):
        manifest = read_manifest(path.parent)
        if manifest.get("sweep") == token:
            score = _score(manifest, target, metric)
            seconds = manifest.get("seconds", 0.0)
            shown = {name: _fact(manifest, name) for name in columns} if score is not None else {}
            points.append(Point(manifest["overrides"], score, path.parent, seconds, shown))
    sign = -1 if maximize else 1
    return sorted(points, key=lambda point: (point.score is None, sign * (point.score or 0.0)))


def _score(manifest: Mapping[str, Any], target: str, metric: str) -> float | None:
    stage, _, fact = metric.rpartition(".")
    facts = manifest["stages"].get(stage or target, {}).get("facts")
    if manifest["status"] != "completed" or target not in manifest["stages"]:
        return None
    if facts is None or not isinstance(facts.get(fact), (int, float)):
        numbers = ", ".join(name for name, value in (facts or {}).items() if isinstance(value, (int, float)))
        ran = f"The stages that ran are: {', '.join(manifest['stages'])}."
        advice = f"Its numeric facts are: {numbers}." if facts else ran
        raise UserError(f"run.sweep.metric={metric} is not a numeric fact of {stage or target}.", advice)
    return float(facts[fact]) if math.isfinite(facts[fact]) else None


def _fact(manifest: Mapping[str, Any], name: str) -> Any:
    """Look up a stage's fact, given as `stage.fact`."""
    stage, _, fact = name.rpartition(".")
    facts = manifest["stages"].get(stage, {}).get("facts", {})
    if fact not in facts:
        known = ", ".join(f"{stage}.{name}" for name in facts)
        ran = f"The stages that ran are: {', '.join(manifest['stages'])}."
        advice = f"The facts of {stage} are: {known}." if facts else ran
        raise UserError(f"run.sweep.columns names {name}, which is not a fact of any stage that ran.", advice)
    return facts[fact]


def sweep_table(points: list[Point], metric: str) -> str:
    """Format the points as a table, one line each, in their order; overrides that all share are left out."""
    names = [" ".join(own) for own in own_overrides(points)]
    columns = list(next((point.columns for point in points if point.columns), {}))
    titles = ["rank", *_titles([metric, *columns]), "seconds", "point", "run"]
    rows = [
        [
            str(rank),
            "failed" if point.score is None else f"{point.score:z.4f}",
            *(_shown(point.columns.get(column)) for column in columns),
            f"{point.seconds:.1f}",
            name,
            point.path.name,
        ]
        for rank, (point, name) in enumerate(zip(points, names, strict=True), 1)
    ]
    return text_table(titles, rows, texts=(len(titles) - 2, len(titles) - 1))


def _titles(names: list[str]) -> list[str]:
    """Remove the stage from each fact's name if the name is unique without it."""
    facts = [name.rpartition(".")[2] for name in names]
    return [fact if facts.count(fact) == 1 else name for name, fact in zip(names, facts, strict=True)]


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, int | float) and abs(value) >= MILLION:
        return f"{value / MILLION:,.1f}M"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:z.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def own_overrides(points: list[Point]) -> list[list[str]]:
    """Return each point's overrides without those that all points share."""
    return without_shared([point.overrides for point in points])


def without_shared(lists: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return each list without the items that all lists contain; a single list is returned unchanged."""
    shared = set[str].intersection(*map(set, lists)) if len(lists) > 1 else set[str]()
    return [[item for item in items if item not in shared] for items in lists]


def sweep_rows(points: list[Point], metric: str) -> list[dict[str, Any]]:
    """Return the table as JSON values, for the winner's manifest."""
    return [
        {"overrides": own, metric: point.score, **point.columns, "seconds": point.seconds, "run": point.path.name}
        for point, own in zip(points, own_overrides(points), strict=True)
    ]
