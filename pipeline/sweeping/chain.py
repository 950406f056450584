"""Artifacts of the stages that a sweep's points share: each is planned and made once in a process."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from slimline.pipeline.artifact import Artifact, Facts
from slimline.pipeline.keys import Keyed, find_key, given_artifacts
from slimline.pipeline.obtaining import obtain
from slimline.pipeline.plan import why
from slimline.pipeline.stage import Inputs, Stage
from slimline.pipeline.store import Store
from slimline.pipeline.tasks import Task

Place = tuple[str, str, tuple[str, ...]]
"""A stage, its config as text, and the keys of its inputs."""


@dataclass(frozen=True)
class Made:
    """An artifact of a point; `fresh`: this process made it, for this point and for no other."""

    artifact: Artifact
    facts: Facts
    cached: bool
    seconds: float
    fresh: bool = True


class Chain:
    """The artifacts that this process has made or found, by what decides them."""

    def __init__(self, store: Store, force: Iterable[str]) -> None:
        """`force` names stages whose artifacts are made again, once."""
        self.store = store
        self._force = frozenset(force)
        self._settled: dict[tuple[str, str], Any] = {}
        self._made: dict[Place, Made] = {}

    def settle(self, tasks: Iterable[Task], configs: dict[str, Any]) -> None:
        """Resolve the tasks' configs in place, each different one once.

        Raises:
            UserError: a config cannot be resolved, for example because its photos do not exist.
        """
        for task in tasks:
            if task.stage.resolve:
                place = task.stage.name, repr(configs[task.name])
                if place not in self._settled:
                    self._settled[place] = task.stage.resolve(configs[task.name], False)
                configs[task.name] = self._settled[place]

    def obtain(self, task: Task, config: Any, made: Mapping[str, Made]) -> Made:
        """Make or find the artifact of a task, from those of its inputs.

        Raises:
            UserError: the stage cannot do its work, or what it reached is below what its config asks for.
        """
        inputs = task.inputs(config, {name: one.artifact for name, one in made.items()})
        place = _place(task.stage, config, inputs)
        if place in self._made:
            return self._made[place]
        started = time.perf_counter()
        artifact, facts, cached = obtain(task.stage, config, inputs, self.store, task.stage.name in self._force)
        found = Made(artifact, facts, cached, time.perf_counter() - started)
        if task.stage.gate:
            task.stage.gate(config, artifact)
        self._made[place] = replace(found, fresh=False)
        return found

    def planned(self, tasks: Sequence[Task], configs: Mapping[str, Any]) -> Keyed | None:
        """Return what the last task's artifact would be stored under; None if an input of it does not exist yet."""
        made: dict[str, Artifact] = {}
        for task in tasks:
            stage, config = task.stage, configs[task.name]
            inputs = task.inputs(config, made)
            place = _place(stage, config, inputs)
            if task is not tasks[-1] and place in self._made:
                made[task.name] = self._made[place].artifact
                continue
            keyed = find_key(stage, config, inputs, self.store.code, self.store.contents)
            if task is tasks[-1]:
                return keyed
            artifact = self.store.find(stage.name, keyed.key)
            if artifact is None:
                return None
            made[task.name] = replace(artifact, choices=keyed.choices)
            self._made[place] = Made(made[task.name], artifact.facts, True, 0.0, fresh=False)
        return None

    def missing(self, tasks: Sequence[Task], configs: Mapping[str, Any]) -> str:
        """Return the first task whose artifact does not exist, and why it would be made."""
        for number, task in enumerate(tasks, 1):
            planned = self.planned(tasks[:number], configs)
            if planned and self.store.find(task.stage.name, planned.key) is None:
                return f"{task.name}: {why(planned.parts, self.store.all_of(task.stage.name))}"
        return "their artifacts"


def _place(stage: Stage, config: Any, inputs: Mapping[str, Inputs]) -> Place:
    keys = tuple(f"{name}={one.key}/{one.generation}" for name, one in given_artifacts(inputs).items())
    return stage.name, repr(config), keys
