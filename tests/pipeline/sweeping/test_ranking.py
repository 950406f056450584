from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimline.pipeline.sweeping.objectives import Objective
from slimline.pipeline.sweeping.points import FAILED, PRUNED, SKIPPED, Outcome
from slimline.pipeline.sweeping.ranking import Scored, mean_fact, rank_points
from tests.pipeline.sweeping.conftest import outcome

TOP1, LOSS = Objective("train.top1", True), Objective("train.loss", False)


def facts(top1: Any, loss: Any = 1.0) -> dict[str, Any]:
    return {"train.top1": top1, "train.loss": loss}


def order(*outcomes: Outcome, tie: Objective | None = LOSS) -> list[int]:
    return [one.number for one in rank_points(dict(enumerate(outcomes)), [TOP1], tie)]


def test_points_are_ordered_by_the_metric_then_the_tie_then_their_number() -> None:
    points = [outcome(facts(*one)) for one in ((0.8, 0.1), (0.9, 0.7), (0.9, 0.2), (0.9, 0.7), (0.95, 9.0))]
    assert order(*points) == [4, 2, 1, 3, 0]
    assert order(*points, tie=None) == [4, 1, 2, 3, 0]


def test_the_order_does_not_depend_on_when_points_were_done() -> None:
    points = {3: outcome(facts(0.9)), 0: outcome(facts(0.9)), 11: outcome(facts(0.9)), 2: outcome(facts(0.9))}
    assert [one.number for one in rank_points(points, [TOP1], LOSS)] == [0, 2, 3, 11]


def test_less_is_better_with_a_minus() -> None:
    points = {0: outcome(facts(0.9, 0.3)), 1: outcome(facts(0.8, 0.2))}
    assert [one.number for one in rank_points(points, [LOSS], None)] == [1, 0]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None, True, "0.99"])
def test_a_score_that_is_not_a_finite_number_is_a_failure(value: Any) -> None:
    first, last = rank_points({0: outcome(facts(value)), 1: outcome(facts(0.1))}, [TOP1], LOSS)
    assert (first.number, last.number, last.status, last.score) == (1, 0, FAILED, None)
    assert last.error == "train.top1 is not a finite number."


@pytest.mark.parametrize("value", [math.nan, None, True])
def test_a_point_without_the_tie_comes_after_its_equals(value: Any) -> None:
    assert order(outcome(facts(0.9, value)), outcome(facts(0.9, 1e9)), outcome(facts(0.8, 0.0))) == [1, 0, 2]


def test_points_without_a_score_come_last_by_number() -> None:
    failed, skipped, pruned = (outcome(status=one, error=one) for one in (FAILED, SKIPPED, PRUNED))
    assert order(pruned, outcome(facts(-1e9)), failed, skipped, outcome(facts(0.5))) == [4, 1, 0, 2, 3]


def test_seeds_are_compared_by_their_mean_and_shown_with_their_spread() -> None:
    lucky = outcome(facts(0.99), facts(0.61), facts(0.62))
    steady = outcome(facts(0.75), facts(0.76), facts(0.77))
    first, second = rank_points({0: lucky, 1: steady}, [TOP1], LOSS)
    assert (first.number, second.number) == (1, 0)
    assert first.score == pytest.approx(0.76)
    assert first.spread == pytest.approx(0.01)  # of the sample: sqrt(((0.01)^2 + 0 + (0.01)^2) / 2)
    assert first.scores == [0.75, 0.76, 0.77]


def test_one_seed_has_no_spread() -> None:
    [only] = rank_points({0: outcome(facts(0.5))}, [TOP1], LOSS)
    assert only.spread is None


def test_a_point_of_which_one_seed_diverged_has_no_score() -> None:
    [only] = rank_points({0: outcome(facts(0.9), facts(math.nan))}, [TOP1], LOSS)
    assert (only.score, only.status, only.scores) == (None, FAILED, [])


def test_a_mean_needs_the_fact_of_every_seed() -> None:
    assert mean_fact(outcome(facts(0.5), facts(0.7)), "train.top1") == pytest.approx(0.6)
    assert mean_fact(outcome(facts(0.5), {}), "train.top1") is None
    assert mean_fact(outcome(), "train.top1") is None


def front(*pairs: tuple[float, float]) -> set[int]:
    points = {number: outcome(facts(*pair)) for number, pair in enumerate(pairs)}
    return {one.number for one in rank_points(points, [TOP1, LOSS], None) if one.pareto}


def test_the_pareto_front_holds_what_no_other_point_beats() -> None:
    assert front((0.9, 5.0), (0.8, 3.0), (0.8, 4.0), (0.7, 3.0), (0.6, 1.0)) == {0, 1, 4}
    assert front((0.9, 5.0), (0.9, 5.0)) == {0, 1}  # equal points do not beat each other
    assert front((0.9, 5.0), (0.9, 4.0)) == {1}


def test_a_failed_point_is_on_no_front() -> None:
    points = {0: outcome(facts(0.5, 1.0)), 1: outcome(facts(0.9, math.nan))}
    assert [(one.number, one.pareto) for one in rank_points(points, [TOP1, LOSS], None)] == [(0, True), (1, False)]


def test_one_objective_marks_no_front() -> None:
    assert not any(one.pareto for one in rank_points({0: outcome(facts(0.5))}, [TOP1], None))


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=8))
def test_the_front_is_what_the_definition_says(pairs: list[tuple[int, int]]) -> None:
    beaten = {
        one
        for one, (top1, loss) in enumerate(pairs)
        if any(a >= top1 and b <= loss and (a, b) != (top1, loss) for a, b in pairs)
    }
    assert front(*((float(a), float(b)) for a, b in pairs)) == set(range(len(pairs))) - beaten


@given(st.permutations(range(5)))
def test_ranking_is_a_total_order(numbers: list[int]) -> None:
    made = {n: outcome(facts(*[(0.9, 1.0), (0.9, 1.0), (0.5, 0.1), (math.nan, 0.0), (0.9, 0.5)][n])) for n in numbers}
    found: list[Scored] = rank_points(made, [TOP1], LOSS)
    assert [one.number for one in found] == [4, 0, 1, 2, 3]
