"""What a sweep is ranked by: facts of stages, each with its direction."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from slimline.pipeline.config import SweepConfig
from slimline.pipeline.errors import UserError, nearest

MINUS = "-"

StageFacts = Mapping[str, Mapping[str, Any]]


class WrongFact(UserError):
    """A setting of the sweep names a fact that does not exist: a mistake in the command, not in one of its points."""


class Objective(NamedTuple):
    """A fact to rank by, as `stage.fact`, and whether the largest value is the best."""

    name: str
    maximize: bool

    def loss(self, value: float) -> float:
        """Return a number that is smaller for a better value."""
        return -value if self.maximize else value


def read_objectives(config: SweepConfig) -> list[Objective]:
    """Return what a sweep is ranked by, the most important first; a leading minus means that less is better."""
    names = [config.metric] if isinstance(config.metric, str) else list(config.metric)
    return [_objective(name, config.target, config.maximize) for name in names]


def read_tie(config: SweepConfig) -> Objective | None:
    """Return what decides between points of equal rank, or None."""
    return None if config.tie is None else _objective(config.tie, config.target, True)


def _objective(text: str, target: str, maximize: bool) -> Objective:
    name = text.strip().removeprefix(MINUS).strip()
    stage, _, fact = name.rpartition(".")
    return Objective(f"{stage or target}.{fact}", maximize and not text.strip().startswith(MINUS))


def flat_facts(facts: StageFacts) -> dict[str, Any]:
    """Return the numbers and texts among the facts of all stages, by `stage.fact`."""
    return {
        f"{stage}.{name}": value
        for stage, own in facts.items()
        for name, value in own.items()
        if isinstance(value, (int, float, str)) or value is None
    }


def check_facts(
    facts: StageFacts, objectives: Sequence[Objective], tie: Objective | None, columns: Sequence[str], chosen_tie: bool
) -> None:
    """Check that the facts of a point have all that the sweep asks for.

    Raises:
        WrongFact: a metric is not a numeric fact, or a column is not a fact of a stage that ran.
    """
    for one in objectives:
        _check_number("run.sweep.metric", one.name, facts)
    if tie and chosen_tie:
        _check_number("run.sweep.tie", tie.name, facts)
    shown = flat_facts(facts)
    for name in columns:
        if name not in shown:
            stage = name.rpartition(".")[0]
            known = ", ".join(one for one in shown if one.rpartition(".")[0] == stage)
            raise WrongFact(
                f"run.sweep.columns names {name}, which is not a fact of any stage that ran.",
                f"The facts of {stage} are: {known}." if known else _ran(facts),
            )


def _check_number(setting: str, name: str, facts: StageFacts) -> None:
    stage, _, fact = name.rpartition(".")
    own = facts.get(stage)
    if own is not None and _is_number(own.get(fact)):
        return
    numbers = [one for one, value in (own or {}).items() if _is_number(value)]
    raise WrongFact(
        f"{setting}={name} is not a numeric fact of {stage}.{nearest(fact, numbers)}",
        f"Its numeric facts are: {', '.join(numbers)}." if own else _ran(facts),
    )


def _ran(facts: StageFacts) -> str:
    return f"The stages that ran are: {', '.join(facts)}."


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def finite(value: Any) -> float | None:
    """Return a fact as a finite number, or None."""
    return float(value) if _is_number(value) and math.isfinite(value) else None
