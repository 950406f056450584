"""Units of work: points that are computed together in one artifact, and points that are computed alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from slimline.pipeline.sweeping.points import Prepared
from slimline.pipeline.tasks import Task
from slimline.pipeline.together import Together

LARGEST = 64
"""Trainings in one artifact at most."""


@dataclass(frozen=True)
class Unit:
    """Points that one process computes in one go; `together`: in one artifact, from the artifacts of `inputs`."""

    points: Sequence[Prepared]
    together: Together | None = None
    inputs: Sequence[Task] = ()

    @property
    def number(self) -> int:
        """The number of its first point, which stands for the unit."""
        return self.points[0].number

    def members(self) -> list[tuple[int, dict[str, Any]]]:
        """Return each training of the unit: the point's place in the unit, and its configs."""
        return [(place, configs) for place, point in enumerate(self.points) for configs in point.seeds]


def cut_units(points: Iterable[Prepared], together: Together | None, needed: Sequence[str]) -> list[Unit]:
    """Cut points into units, which follow from the points alone, so that a resumed sweep has the same ones.

    `needed` names the facts that the sweep asks for, as `stage.fact`: points that need those of a stage that only
    runs for a single point are computed alone.
    """
    alone: list[Unit] = []
    groups: dict[str, list[Prepared]] = {}
    for point in points:
        alike = _alike(point, together, needed) if together else None
        if alike is None:
            alone.append(Unit([point]))
        else:
            groups.setdefault(alike, []).append(point)
    units = alone
    for group in groups.values():
        assert together
        size = max(1, LARGEST // len(group[0].seeds))
        for first in range(0, len(group), size):
            some = group[first : first + size]
            if len(some) * len(some[0].seeds) == 1:
                units.append(Unit(some))
            else:
                units.append(Unit(some, together, _input_tasks(some[0], together)))
    return sorted(units, key=lambda unit: unit.number)


def _alike(point: Prepared, together: Together, needed: Sequence[str]) -> str | None:
    """Return a text that is equal for points that can be computed together, or None."""
    inputs = {task.name for task in _input_tasks(point, together)}
    if not set(together.stage.inputs) <= inputs:
        return None
    target = point.tasks[-1].name
    if any(name.rpartition(".")[0] not in {*inputs, target} for name in needed):
        return None
    found = {together.alike(configs) for configs in point.seeds}
    if len(found) != 1 or None in found:
        return None
    shared = {tuple(repr(configs[name]) for name in sorted(inputs)) for configs in point.seeds}
    if len(shared) != 1:  # the common artifact has one set of inputs
        return None
    return "\n".join([str(found.pop()), *shared.pop()])


def _input_tasks(point: Prepared, together: Together) -> list[Task]:
    """Return the tasks of a point that the common artifact needs, in their order."""
    by_name = {task.name: task for task in point.tasks}
    wanted: set[str] = set()
    waiting = [name for name in together.stage.inputs if name in by_name]
    while waiting:
        name = waiting.pop()
        if name not in wanted:
            wanted.add(name)
            waiting += [one for ones in by_name[name].sources(point.configs[name]).values() for one in ones]
    return [task for task in point.tasks if task.name in wanted]
