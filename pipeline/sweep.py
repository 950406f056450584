"""Sweeps: the points of a `--multirun`, compared, and the best of them carried to the end."""

from __future__ import annotations

import math
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import UserError
from pipeline.run import read_manifest

TOKEN = "SLIMLINE_SWEEP"
"""The environment variable that tells a launcher's processes which sweep they belong to."""


@dataclass(frozen=True)
class Point:
    """One point of a sweep: its overrides, its score (None where it failed) and its run."""

    overrides: list[str]
    score: float | None
    path: Path
    seconds: float


def begin_sweep() -> str:
    """Give this process, and those that it starts, a sweep of their own; return its token."""
    os.environ[TOKEN] = secrets.token_hex(8)
    return os.environ[TOKEN]


def sweep_points(folder: Path, token: str, target: str, metric: str, maximize: bool) -> list[Point]:
    """Read a sweep's points back from their manifests, best first, those without a score last."""
    points = []
    for path in sorted(folder.glob("v*/manifest.json")):
        manifest = read_manifest(path.parent)
        if manifest.get("sweep") == token:
            score = _score(manifest, target, metric)
            points.append(Point(manifest["overrides"], score, path.parent, manifest.get("seconds", 0.0)))
    sign = -1 if maximize else 1
    return sorted(points, key=lambda point: (point.score is None, sign * (point.score or 0.0)))


def _score(manifest: Mapping[str, Any], target: str, metric: str) -> float | None:
    facts = manifest["stages"].get(target, {}).get("facts")
    if manifest["status"] != "completed" or facts is None:
        return None
    if not isinstance(facts.get(metric), (int, float)):
        numbers = ", ".join(name for name, value in facts.items() if isinstance(value, (int, float)))
        raise UserError(f"run.sweep.metric={metric} is no number that {target} gives.", f"It gives: {numbers}.")
    return float(facts[metric]) if math.isfinite(facts[metric]) else None


def sweep_table(points: list[Point], metric: str) -> str:
    """Lay the points out as a table, one line each, in their order; overrides that all share are left out."""
    names = [" ".join(own) for own in own_overrides(points)]
    wide = max(15, len(metric))
    width = max(len("point"), *(len(name) for name in names))
    lines = [f"{'rank':>4}  {metric:>{wide}}  {'seconds':>7}  {'point':<{width}}  run"]
    for rank, (point, name) in enumerate(zip(points, names, strict=True), 1):
        score = "failed" if point.score is None else f"{point.score:.4f}"
        lines.append(f"{rank:>4}  {score:>{wide}}  {point.seconds:>7.1f}  {name:<{width}}  {point.path.name}")
    return "\n".join(lines)


def own_overrides(points: list[Point]) -> list[list[str]]:
    """Return each point's overrides less those that all points share."""
    shared = set.intersection(*(set(point.overrides) for point in points)) if len(points) > 1 else set()
    return [[override for override in point.overrides if override not in shared] for point in points]


def sweep_rows(points: list[Point], metric: str) -> list[dict[str, Any]]:
    """Return the table as JSON values, for the winner's manifest."""
    return [
        {"overrides": own, metric: point.score, "seconds": point.seconds, "run": point.path.name}
        for point, own in zip(points, own_overrides(points), strict=True)
    ]
