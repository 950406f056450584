from __future__ import annotations

import math
from typing import Any

import pytest

from slimline.pipeline.config import SweepConfig
from slimline.pipeline.errors import UserError
from slimline.pipeline.sweeping.objectives import (
    Objective,
    WrongFact,
    check_facts,
    finite,
    flat_facts,
    read_objectives,
    read_tie,
)

FACTS: dict[str, dict[str, Any]] = {
    "base": {"parameters": 1000, "name": "lite", "frozen": True, "scopes": ["a"]},
    "train": {"validation_top1": 0.9, "validation_loss": math.nan, "epochs": 3, "sure": True},
}
TOP1 = Objective("train.validation_top1", True)


@pytest.mark.parametrize(
    ("settings", "objectives"),
    [
        ({}, [("train.validation_top1", True)]),
        ({"metric": "-validation_loss"}, [("train.validation_loss", False)]),
        ({"metric": " - validation_loss "}, [("train.validation_loss", False)]),
        ({"metric": "validation_loss", "maximize": False}, [("train.validation_loss", False)]),
        ({"metric": "-base.parameters", "target": "export"}, [("base.parameters", False)]),
        ({"metric": "top1", "target": "evaluate"}, [("evaluate.top1", True)]),
        (
            {"metric": ["train.validation_top1", "-base.multiply_adds"]},
            [("train.validation_top1", True), ("base.multiply_adds", False)],
        ),
        ({"metric": ["a", "b"], "maximize": False}, [("train.a", False), ("train.b", False)]),
    ],
)
def test_a_metric_names_a_fact_and_its_direction(settings: dict[str, Any], objectives: list[tuple[str, bool]]) -> None:
    assert [tuple(one) for one in read_objectives(SweepConfig(**settings))] == objectives


@pytest.mark.parametrize("metric", [[], "", [""], 3, None, ["a", 3], {"a": 1}])
def test_a_metric_that_is_no_name_is_refused(metric: Any) -> None:
    with pytest.raises(UserError, match=r"run\.sweep\.metric=.* is not the name of a fact"):
        SweepConfig(metric=metric)


def test_two_ways_to_say_that_less_is_better_do_not_cancel_each_other() -> None:
    with pytest.raises(UserError, match=r"maximize=false and a minus"):
        SweepConfig(metric=["a", "-b"], maximize=False)


@pytest.mark.parametrize(
    ("tie", "objective"),
    [
        ("-train.validation_loss", ("train.validation_loss", False)),
        ("epochs", ("train.epochs", True)),
        (None, None),
    ],
)
def test_a_tie_has_a_direction_of_its_own(tie: str | None, objective: tuple[str, bool] | None) -> None:
    found = read_tie(SweepConfig(tie=tie, metric="validation_loss", maximize=False))
    assert (found and tuple(found)) == objective


def test_a_loss_is_smaller_for_a_better_value() -> None:
    assert TOP1.loss(0.9) < TOP1.loss(0.8)
    less = Objective("base.parameters", False)
    assert less.loss(10) < less.loss(20)


def test_the_facts_that_are_kept_are_numbers_and_texts() -> None:
    assert flat_facts(FACTS) == {
        "base.parameters": 1000,
        "base.name": "lite",
        "base.frozen": True,
        "train.validation_top1": 0.9,
        "train.validation_loss": pytest.approx(math.nan, nan_ok=True),
        "train.epochs": 3,
        "train.sure": True,
    }


def complaint(metric: str = "train.validation_top1", tie: str = "", columns: tuple[str, ...] = ()) -> str:
    """Return what is said of the facts above; an empty text if nothing is."""
    wanted = [Objective(metric, True)]
    try:
        check_facts(FACTS, wanted, Objective(tie, False) if tie else None, columns, bool(tie))
    except WrongFact as error:
        return str(error)
    return ""


def test_facts_that_exist_are_accepted() -> None:
    assert complaint("train.validation_loss") == ""  # NaN is a number: the point has no score, the setting is right
    assert complaint(tie="base.parameters", columns=("base.name", "base.frozen")) == ""


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            {"metric": "train.validation_top"},
            "run.sweep.metric=train.validation_top is not a numeric fact of train. Did you mean validation_top1?\n"
            "Its numeric facts are: validation_top1, validation_loss, epochs.",
        ),
        (
            {"metric": "base.frozen"},
            "run.sweep.metric=base.frozen is not a numeric fact of base.\nIts numeric facts are: parameters.",
        ),
        (
            {"metric": "evaluate.top1"},
            "run.sweep.metric=evaluate.top1 is not a numeric fact of evaluate.\nThe stages that ran are: base, train.",
        ),
        (
            {"tie": "train.epoch"},
            "run.sweep.tie=train.epoch is not a numeric fact of train. Did you mean epochs?\n"
            "Its numeric facts are: validation_top1, validation_loss, epochs.",
        ),
        (
            {"columns": ("base.size",)},
            "run.sweep.columns names base.size, which is not a fact of any stage that ran.\n"
            "The facts of base are: base.parameters, base.name, base.frozen.",
        ),
        (
            {"columns": ("base.scopes",)},  # a list has no place in a table
            "run.sweep.columns names base.scopes, which is not a fact of any stage that ran.\n"
            "The facts of base are: base.parameters, base.name, base.frozen.",
        ),
        (
            {"columns": ("size",)},
            "run.sweep.columns names size, which is not a fact of any stage that ran.\n"
            "The stages that ran are: base, train.",
        ),
    ],
)
def test_a_fact_that_does_not_exist_is_answered_with_those_that_do(asked: dict[str, Any], said: str) -> None:
    assert complaint(**asked) == said


@pytest.mark.parametrize("facts", [FACTS, {"train": {"validation_top1": 0.9}}])
def test_only_a_tie_that_was_chosen_has_to_exist(facts: dict[str, Any]) -> None:
    tie = Objective("train.validation_loss_of_old", False)
    check_facts(facts, [TOP1], tie, (), chosen_tie=False)
    with pytest.raises(WrongFact, match=r"run\.sweep\.tie"):
        check_facts(facts, [TOP1], tie, (), chosen_tie=True)


@pytest.mark.parametrize(
    ("value", "number"),
    [(1, 1.0), (0.5, 0.5), (True, None), (math.nan, None), (math.inf, None), ("1", None), (None, None), ([1], None)],
)
def test_only_finite_numbers_count(value: Any, number: float | None) -> None:
    assert finite(value) == number
