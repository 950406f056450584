"""Artifacts of the stages that a sweep's points share: each is planned and made once in a process."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from slimline.pipeline.artifact import Artifact, Facts
from slimline.pipeline.keys import key_parts, make_key, settled_choices
from slimline.pipeline.obtaining import obtain
from slimline.pipeline.stage import Stage
from slimline.pipeline.store import Store

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


class Planned(NamedTuple):
    """What a stage's artifact would be stored under."""

    key: str
    parts: Mapping[str, Any]


class Chain:
    """The artifacts that this process has made or found, by what decides them."""

    def __init__(self, store: Store, force: Iterable[str]) -> None:
        """`force` names stages whose artifacts are made again, once."""
        self.store = store
        self._force = frozenset(force)
        self._settled: dict[tuple[str, str], Any] = {}
        self._made: dict[Place, Made] = {}

    def settle(self, stages: Iterable[Stage], configs: dict[str, Any]) -> None:
        """Resolve the stages' configs in place, each different one once.

        Raises:
            UserError: a config cannot be resolved, for example because its photos do not exist.
        """
        for stage in stages:
            if stage.resolve:
                place = stage.name, repr(configs[stage.name])
                if place not in self._settled:
                    self._settled[place] = stage.resolve(configs[stage.name], False)
                configs[stage.name] = self._settled[place]

    def obtain(self, stages: Sequence[Stage], configs: Mapping[str, Any]) -> dict[str, Made]:
        """Make or find the artifacts of stages, in their order; return them by stage.

        Raises:
            UserError: a stage cannot do its work.
        """
        made: dict[str, Made] = {}
        for stage in stages:
            made[stage.name] = self.obtain_one(stage, configs[stage.name], made)
        return made

    def obtain_one(self, stage: Stage, config: Any, made: Mapping[str, Made]) -> Made:
        """Make or find one artifact, from those of its inputs.

        Raises:
            UserError: the stage cannot do its work, or what it reached is below what its config asks for.
        """
        needed = stage.needs(config)
        inputs = {name: made[name].artifact if name in needed else None for name in stage.inputs}
        place = _place(stage, config, inputs)
        if place in self._made:
            return self._made[place]
        started = time.perf_counter()
        force = stage.name in self._force
        artifact, facts, cached = obtain(stage, config, inputs, self.store, force)
        found = Made(artifact, facts, cached, time.perf_counter() - started)
        if stage.gate:
            stage.gate(config, artifact)
        self._made[place] = replace(found, fresh=False)
        return found

    def planned(self, stages: Sequence[Stage], configs: Mapping[str, Any]) -> Planned | None:
        """Return what the last stage's artifact would be stored under; None if an input of it does not exist yet."""
        made: dict[str, Made] = {}
        for stage in stages:
            needed = stage.needs(configs[stage.name])
            inputs = {name: made[name].artifact if name in needed else None for name in stage.inputs}
            present = {name: artifact for name, artifact in inputs.items() if artifact}
            place = _place(stage, configs[stage.name], inputs)
            if stage is not stages[-1] and place in self._made:
                made[stage.name] = self._made[place]
                continue
            choices = settled_choices(stage, configs[stage.name], present)
            code = self.store.code.read(stage, choices)
            parts = key_parts(stage, configs[stage.name], present, code, self.store.contents)
            key = make_key(parts)
            if stage is stages[-1]:
                return Planned(key, parts)
            artifact = self.store.find(stage.name, key)
            if artifact is None:
                return None
            found = Made(replace(artifact, choices=choices), artifact.facts, True, 0.0, fresh=False)
            made[stage.name] = self._made[place] = found
        return None


def _place(stage: Stage, config: Any, inputs: Mapping[str, Artifact | None]) -> Place:
    keys = tuple(f"{one.key}/{one.generation}" if one else "" for one in inputs.values())
    return stage.name, repr(config), keys
