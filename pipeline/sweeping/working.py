"""The work of a sweep: its units are computed, and what came of each point is returned."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from slimline.pipeline.artifact import Artifact
from slimline.pipeline.config import SweepConfig
from slimline.pipeline.errors import HelperLost, Unavailable, UserError
from slimline.pipeline.keys import Keyed
from slimline.pipeline.plan import WIDTH
from slimline.pipeline.run_lines import stage_line
from slimline.pipeline.sweeping.chain import Chain, Made
from slimline.pipeline.sweeping.objectives import WrongFact, check_facts, flat_facts, read_objectives, read_tie
from slimline.pipeline.sweeping.points import COMPLETED, FAILED, PRUNED, SKIPPED, Outcome, Prepared, SeedResult
from slimline.pipeline.sweeping.pruning import MedianRule
from slimline.pipeline.sweeping.units import Unit
from slimline.pipeline.tasks import Task
from slimline.pipeline.together import MEMBERS
from slimline.pipeline.watching import Pruned, watching

log = logging.getLogger(__name__)

Curves = Sequence[Sequence[Sequence[float]]]
"""For each point its curves, one for each seed."""


def varied_stages(settings: Iterable[str], target: str) -> frozenset[str]:
    """Return the stages that differ between points by their own settings, as these vary; the target always does."""
    return frozenset({*(name.lstrip("+~").partition(".")[0].partition("/")[0] for name in settings), target})


class Work:
    """Computes units; every failure of a point becomes an outcome, and a mistake in the sweep's settings is raised."""

    def __init__(self, config: SweepConfig, chain: Chain, varied: Container[str] = ()) -> None:
        """`varied` names the stages that differ between points by their own settings."""
        self.config, self.chain, self._varied = config, chain, varied
        self.objectives, self.tie = read_objectives(config), read_tie(config)

    @property
    def needed(self) -> list[str]:
        """The facts that the sweep asks for, as `stage.fact`."""
        tie = [self.tie.name] if self.tie else []
        return [*(one.name for one in self.objectives), *tie, *self.config.columns]

    def planned(self, unit: Unit) -> list[Keyed | None]:
        """Return what each artifact of a unit's target would be stored under, without making anything.

        None stands for one that cannot be known: an input of it does not exist yet, or a file of it cannot be read.
        """
        try:
            return self._planned(unit)
        except UserError:  # the point's own outcome says so
            return [None] * len(unit.members())

    def _planned(self, unit: Unit) -> list[Keyed | None]:
        if unit.together:
            config = unit.together.config([configs for _, configs in unit.members()])
            tasks = [*unit.inputs, Task(unit.together.stage)]
            configs = {**unit.points[0].configs, unit.together.stage.name: config}
            return [self.chain.planned(tasks, configs)] * len(unit.members())
        return [self.chain.planned(unit.points[0].tasks, configs) for _, configs in unit.members()]

    def missing(self, unit: Unit) -> str:
        """Say which input of a unit would be made again, and why."""
        point = unit.points[0]
        try:
            return self.chain.missing(unit.inputs or point.tasks[:-1], point.configs)
        except UserError as error:
            return str(error).splitlines()[0]

    def run(self, unit: Unit, earlier: Curves) -> list[Outcome]:
        """Compute a unit and return the outcome of each of its points; `earlier` holds the curves of earlier points.

        Raises:
            WrongFact: the sweep asks for a fact that does not exist.
        """
        started = time.perf_counter()
        try:
            return self._together(unit) if unit.together else [self._alone(unit.points[0], earlier)]
        except WrongFact:
            raise
        except UserError as error:
            outcome = self.refused(error)
        except Exception as error:
            log.warning("%s", traceback.format_exc())
            outcome = Outcome(FAILED, error=f"{type(error).__name__}: {error}", retry=True)
        seconds = round((time.perf_counter() - started) / len(unit.points), 3)
        return [replace(outcome, seconds=seconds)] * len(unit.points)

    def refused(self, error: UserError) -> Outcome:
        """Return the outcome of a point that cannot be computed."""
        skipped = isinstance(error, Unavailable) and self.config.skip_unavailable
        return Outcome(
            SKIPPED if skipped else FAILED, error=str(error), retry=isinstance(error, Unavailable | HelperLost)
        )

    def _alone(self, point: Prepared, earlier: Curves) -> Outcome:
        results: list[SeedResult] = []
        started, seconds = time.perf_counter(), 0.0
        for seed, configs in enumerate(point.seeds):
            rule = MedianRule(self.objectives[0], [curves[seed] for curves in earlier if len(curves) > seed])
            try:
                if self.config.prunes:
                    with watching(rule):
                        made = self._obtain(point.tasks, configs)
                else:
                    made = self._obtain(point.tasks, configs)
            except Pruned as reason:
                took = round(time.perf_counter() - started, 3)
                results.append(SeedResult({}, "", None, rule.curve))
                return Outcome(PRUNED, results, took, f"ended early {reason}")
            self._check_reports(made, rule.curve)
            target = made[point.tasks[-1].name]
            own = self._own(point.tasks, configs)
            seconds += sum(made[name].artifact.seconds for name in own)
            results.append(self._result(made, target.facts, point.tasks[-1].name, target.artifact, None, rule.curve))
        return Outcome(COMPLETED, results, round(seconds, 3))

    def _check_reports(self, made: Mapping[str, Made], curve: Sequence[float]) -> None:
        """Check that a stage that has just run reported the metric by which points end early.

        Raises:
            WrongFact: it did not.
        """
        name = self.objectives[0].name
        stage = made.get(name.rpartition(".")[0])
        if self.config.prunes and stage and stage.fresh and not stage.cached and not curve:
            raise WrongFact(
                f"run.sweep.prune=median: {name} is not known before the stage ends, so no point can end early.",
                "Choose a metric that train reports after each epoch, such as train.validation_top1.",
            )

    def _together(self, unit: Unit) -> list[Outcome]:
        assert unit.together
        task, members = Task(unit.together.stage), unit.members()
        made = self._obtain(unit.inputs, unit.points[0].configs)
        stack = self.chain.obtain(task, unit.together.config([configs for _, configs in members]), made)
        self._log(task, stack, True)
        target = unit.points[0].tasks[-1].name
        results: list[list[SeedResult]] = [[] for _ in unit.points]
        errors: dict[int, str] = {}
        for member, ((place, _), facts) in enumerate(zip(members, stack.facts[MEMBERS], strict=True)):
            if "error" in facts:
                errors.setdefault(place, facts["error"])
            else:
                results[place].append(self._result(made, facts, target, stack.artifact, member))
        seconds = round(stack.artifact.seconds / len(unit.points), 3)
        return [
            Outcome(FAILED if place in errors else COMPLETED, seeds, seconds, errors.get(place, ""))
            for place, seeds in enumerate(results)
        ]

    def _obtain(self, tasks: Sequence[Task], configs: Mapping[str, Any]) -> dict[str, Made]:
        made: dict[str, Made] = {}
        own = self._own(tasks, configs)
        for task in tasks:
            made[task.name] = self.chain.obtain(task, configs[task.name], made)
            self._log(task, made[task.name], task.name in own)
        return made

    def _own(self, tasks: Sequence[Task], configs: Mapping[str, Any]) -> set[str]:
        """Return the names of the tasks that differ between points: those that vary, and what depends on them."""
        own: set[str] = set()
        for task in tasks:
            sources = {one for ones in task.sources(configs[task.name]).values() for one in ones}
            if task.stage.name in self._varied or own & sources:
                own.add(task.name)
        return own

    def _log(self, task: Task, made: Made, own: bool) -> None:
        """Log the line of a stage that ran for all points; with `run.sweep.verbose` that of every stage."""
        ran = made.fresh and not made.cached
        if self.config.verbose or (ran and not own):
            width = max(WIDTH, len(task.name) + 1)
            state, key = "ran" if ran else "cached", made.artifact.key
            log.info(stage_line(task.name, state, key, made.seconds, made.facts, task.stage.shown, width))

    def _result(
        self,
        made: Mapping[str, Made],
        facts: Mapping[str, Any],
        target: str,
        artifact: Artifact,
        member: int | None,
        curve: Sequence[float] = (),
    ) -> SeedResult:
        """Keep the facts of the target, and those of other stages that the sweep asks for."""
        by_stage = {**{name: one.facts for name, one in made.items()}, target: facts}
        check_facts(by_stage, self.objectives, self.tie, self.config.columns, self.config.tie_is_chosen)
        needed = set(self.needed)
        kept = {name: v for name, v in flat_facts(by_stage).items() if name in needed or name.startswith(f"{target}.")}
        kept = {name: value for name, value in kept.items() if not name.endswith(".headline")}
        return SeedResult(kept, f"{artifact.stage}/{artifact.key}/{artifact.generation}", member, list(curve))
