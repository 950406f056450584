"""Tasks: the stages of a run in order, each once, or once for each part of a stage that needs its inputs repeated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from slimline.pipeline.artifact import Artifact
from slimline.pipeline.errors import UserError
from slimline.pipeline.stage import Inputs, Stage


@dataclass(frozen=True)
class Task:
    """A stage to run: for the run itself, or for one `part` of a stage that needs its inputs several times.

    `own` names the stages that each part has for itself, `parts` the parts of a stage that needs several.
    """

    stage: Stage
    part: str = ""
    own: frozenset[str] = frozenset()
    parts: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The stage's name, and the part's: `train`, or `train fold 0`."""
        return _name(self.stage.name, self.part)

    def sources(self, config: Any) -> dict[str, tuple[str, ...]]:
        """Return for each input that the config needs the tasks that make it: one, or one for each part."""
        return {name: self._sources(name) for name in self.stage.needs(config)}

    def inputs(self, config: Any, made: Mapping[str, Artifact]) -> dict[str, Inputs]:
        """Return the stage's inputs from the artifacts of tasks; None for one that is not needed or not there."""
        needed = self.sources(config)
        return {
            name: tuple(made[one] for one in needed[name])
            if name in self.stage.several
            else made.get(needed[name][0])
            if name in needed
            else None
            for name in self.stage.inputs
        }

    def _sources(self, name: str) -> tuple[str, ...]:
        parts = self.parts if name in self.stage.several else (self.part,)
        return tuple(_name(name, part if name in self.own else "") for part in parts)


def _name(stage: str, part: str) -> str:
    return f"{stage} {part}" if part else stage


def order_tasks(stages: Mapping[str, Stage], configs: dict[str, Any], targets: Iterable[str]) -> list[Task]:
    """List what the targets need, inputs first; stages that are never cached come last.

    A stage that follows others is listed after each of them, so it can occur more than once. Before a stage that needs
    its inputs several times come the tasks of its parts, stage by stage, so that wrong data are found before the first
    part has trained; their configs are added to `configs`, under the tasks' names.

    Raises:
        UserError: a stage is needed that the experiment does not have.
    """
    repeated: dict[str, _Repeated] = {}

    def wanted_by(stage: Stage) -> Sequence[str]:
        if stage.follows:
            return sorted(stage.required)
        once = [name for name in stage.needs(configs[stage.name]) if name not in stage.several]
        if stage.repeats is None:
            return once
        repeated[stage.name] = found = _repeat(stage, stages, configs)
        return [*once, *found.shared]

    ordered = _in_order(stages, configs, targets, wanted_by)
    followers = [stage for stage in stages.values() if stage.follows and stage.name in configs]
    found: list[Task] = []
    for stage in sorted(ordered, key=lambda stage: not stage.cache):
        task = Task(stage)
        if of_parts := repeated.get(stage.name):
            configs.update(of_parts.configs)
            found += of_parts.tasks
            task = Task(stage, own=of_parts.own, parts=of_parts.parts)
        found.append(task)
        made = {one.stage.name for one in found if not one.part}
        found += [Task(one) for one in followers if stage.name in one.follows and one.required <= made]
    return found


def _in_order(
    stages: Mapping[str, Stage],
    configs: Mapping[str, Any],
    targets: Iterable[str],
    wanted_by: Callable[[Stage], Sequence[str]],
) -> list[Stage]:
    """List the targets and what they want, inputs first, without those that follow others."""
    ordered: dict[str, Stage] = {}

    def visit(name: str) -> None:
        stage = stages[name]
        for wanted in wanted_by(stage):
            if wanted not in configs:
                raise UserError(
                    f"{name} needs the stage {wanted}, which this experiment does not have.",
                    f"Choose an option for it: {wanted}=...",
                )
            if wanted not in ordered:
                visit(wanted)
        if not stage.follows:
            ordered[name] = stage

    for target in targets:
        visit(target)
    return list(ordered.values())


@dataclass(frozen=True)
class _Repeated:
    """The tasks of a stage's parts with their configs, and the stages that are equal for all parts."""

    parts: tuple[str, ...]
    own: frozenset[str]
    shared: list[str]
    tasks: list[Task]
    configs: dict[str, Any]


def _repeat(stage: Stage, stages: Mapping[str, Stage], configs: Mapping[str, Any]) -> _Repeated:
    """Order the tasks of a stage's parts: all parts' first stages, then their second ones, and so on."""
    assert stage.repeats
    changed = stage.repeats(configs)
    settings = {part: {**configs, **own} for part, own in changed.items()}
    several = [name for name in stage.inputs if name in stage.several]
    chains = {part: _chain(stages, given, several) for part, given in settings.items()}
    own = {name for given in changed.values() for name in given}
    for part, chain in chains.items():
        own.update(one.name for one in chain if own.intersection(one.needs(settings[part][one.name])))
    shared = dict.fromkeys(one.name for chain in chains.values() for one in chain if one.name not in own)
    kept = frozenset(own)
    tasks = [[Task(one, part, kept) for one in chain if one.name in own] for part, chain in chains.items()]
    in_turns = [task for turn in zip_longest(*tasks) for task in turn if task]
    given = {task.name: settings[task.part][task.stage.name] for task in in_turns}
    return _Repeated(tuple(changed), kept, list(shared), in_turns, given)


def _chain(stages: Mapping[str, Stage], configs: Mapping[str, Any], targets: Sequence[str]) -> list[Stage]:
    chain = _in_order(stages, configs, targets, lambda one: one.needs(configs[one.name]))
    for one in chain:
        if not one.cache or one.repeats:
            raise TypeError(f"stage {one.name} cannot be repeated: it is not cached, or has parts itself")
    return chain
