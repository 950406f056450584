from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from slimline.pipeline.artifact import Artifact, Facts
from slimline.pipeline.stage import stage
from slimline.pipeline.sweeping.points import Prepared
from slimline.pipeline.sweeping.units import LARGEST, cut_units
from slimline.pipeline.tasks import Task
from slimline.pipeline.together import Together


@dataclass
class GatherConfig:
    size: int = 3


@dataclass
class FitConfig:
    rate: float = 0.1
    seed: int = 0
    kind: str = "plain"


@dataclass
class StackConfig:
    members: list[FitConfig] = field(default_factory=list)


@stage()
def gather(config: GatherConfig, out: Path) -> Facts:
    return {}


@stage()
def head(config: GatherConfig, out: Path, *, gather: Artifact) -> Facts:
    return {}


@stage()
def fit(config: FitConfig, out: Path, *, gather: Artifact, head: Artifact) -> Facts:
    return {}


@stage()
def stack(config: StackConfig, out: Path, *, gather: Artifact) -> Facts:
    return {}


def alike(configs: Mapping[str, Any]) -> str | None:
    kind: str = configs["fit"].kind
    return None if kind == "odd" else kind


TOGETHER = Together(stack, alike, lambda points: StackConfig([one["fit"] for one in points]))
CHAIN = [Task(gather), Task(head), Task(fit)]
NEEDED = ("fit.score",)
Point = Callable[..., Prepared]


def point(number: int, *seeds: FitConfig, size: int = 3, sizes: tuple[int, ...] = ()) -> Prepared:
    given = sizes or (size,) * len(seeds)
    configs = [
        {"gather": GatherConfig(own), "head": GatherConfig(), "fit": one} for one, own in zip(seeds, given, strict=True)
    ]
    return Prepared(number, [], configs, CHAIN)


def cut(*points: Prepared, needed: tuple[str, ...] = NEEDED, together: Together | None = TOGETHER) -> list[Any]:
    """Return the numbers of each unit's points; those of a unit that is computed in one artifact as a tuple."""
    units = cut_units(points, together, needed)
    return [
        tuple(one.number for one in unit.points) if unit.together else [one.number for one in unit.points]
        for unit in units
    ]


def test_points_that_are_alike_are_computed_together() -> None:
    made = [point(n, FitConfig(rate=n / 10, kind="mlp" if n % 2 else "plain")) for n in range(6)]
    assert cut(*made) == [(0, 2, 4), (1, 3, 5)]
    assert cut(*made, together=None) == [[0], [1], [2], [3], [4], [5]]


def test_a_point_that_has_no_equal_is_computed_alone() -> None:
    assert cut(point(0, FitConfig()), point(1, FitConfig(kind="odd")), point(2, FitConfig())) == [(0, 2), [1]]
    assert cut(point(0, FitConfig()), point(1, FitConfig(kind="mlp"))) == [[0], [1]]


def test_a_point_with_several_seeds_is_computed_in_one_artifact() -> None:
    assert cut(point(0, FitConfig(seed=0), FitConfig(seed=1))) == [(0,)]


def test_points_with_other_inputs_are_not_mixed() -> None:
    assert cut(
        point(0, FitConfig()), point(1, FitConfig(), size=4), point(2, FitConfig()), point(3, FitConfig(), size=4)
    ) == [
        (0, 2),
        (1, 3),
    ]


def test_seeds_with_other_inputs_are_computed_alone() -> None:
    seeds = FitConfig(seed=0), FitConfig(seed=1)
    assert cut(point(0, *seeds, sizes=(3, 4)), point(1, *seeds, sizes=(3, 4))) == [[0], [1]]


def test_a_stage_that_the_common_artifact_does_not_read_may_differ() -> None:
    first, second = point(0, FitConfig()), point(1, FitConfig())
    second = replace(second, seeds=[{**second.configs, "head": GatherConfig(9)}])
    assert cut(first, second) == [(0, 1)]


@pytest.mark.parametrize("needed", ["head.parameters", "evaluate.top1"])
def test_points_whose_facts_come_from_a_stage_of_their_own_are_computed_alone(needed: str) -> None:
    assert cut(point(0, FitConfig()), point(1, FitConfig()), needed=(*NEEDED, needed)) == [[0], [1]]
    assert cut(point(0, FitConfig()), point(1, FitConfig()), needed=(*NEEDED, "gather.count")) == [(0, 1)]


def test_a_chain_without_an_input_of_the_common_stage_is_computed_alone() -> None:
    made = [replace(point(n, FitConfig()), tasks=CHAIN[1:]) for n in range(2)]
    assert cut(*made) == [[0], [1]]


@pytest.mark.parametrize(("seeds", "each"), [(1, 64), (2, 32), (3, 21), (64, 1), (100, 1)])
def test_units_are_cut_by_number_and_keep_seeds_together(seeds: int, each: int) -> None:
    count = each + 2
    units = cut_units([point(n, *(FitConfig(seed=s) for s in range(seeds))) for n in range(count)], TOGETHER, NEEDED)
    assert [[one.number for one in unit.points] for unit in units] == [
        list(range(first, min(first + each, count))) for first in range(0, count, each)
    ]
    assert all(len(unit.members()) <= max(LARGEST, seeds) for unit in units)
    members = units[0].members()
    assert [(place, configs["fit"].seed) for place, configs in members] == [
        (place, seed) for place in range(len(units[0].points)) for seed in range(seeds)
    ]


def test_units_follow_from_the_points_alone() -> None:
    made = [point(n, FitConfig(kind="odd" if n % 5 == 0 else "plain")) for n in range(150)]
    assert cut(*made) == cut(*made)
    numbers = [number for unit in cut(*made) for number in unit]
    assert sorted(numbers) == list(range(150))
    assert [min(unit) for unit in cut(*made)] == sorted(min(unit) for unit in cut(*made))


def test_a_unit_has_the_stages_that_the_common_artifact_needs() -> None:
    [unit] = cut_units([point(0, FitConfig()), point(1, FitConfig())], TOGETHER, NEEDED)
    assert [one.name for one in unit.inputs] == ["gather"]
