from __future__ import annotations

import sys
from collections.abc import Callable, Mapping

import pytest

from slimline.pipeline.errors import UserError
from slimline.pipeline.sweeping.objectives import Objective
from slimline.pipeline.sweeping.points import FAILED, PRUNED, Outcome, SeedResult
from slimline.pipeline.sweeping.ranking import Scored, rank_points
from slimline.pipeline.sweeping.search import BATCH, check_optuna, propose
from slimline.pipeline.sweeping.space import Space, Values, read_space
from tests.pipeline.sweeping.conftest import outcome

TOP1, LOSS = Objective("train.top1", True), Objective("train.loss", False)
SPACE = read_space(["rate=tag(log,interval(1e-3,1))", "smooth=interval(0,0.2)", "width=int(interval(1,4))", "head=a,b"])


def measured(values: Values) -> Outcome:
    """Return an outcome that is best at rate=0.1, smooth=0 and head=b."""
    rate, smooth = float(values["rate"]), float(values.get("smooth", 0))
    return outcome({"train.top1": 1 - abs(rate - 0.1) - smooth + 0.1 * (values.get("head") == "b"), "train.loss": rate})


def search(
    count: int,
    space: Space = SPACE,
    seed: int = 0,
    outcome_of: Callable[[Values], Outcome] = measured,
    known: Mapping[int, Values] | None = None,
    objectives: tuple[Objective, ...] = (TOP1,),
) -> dict[int, Values]:
    """Search for `count` points, beginning with those that are known; each batch is proposed from those before."""
    values: dict[int, Values] = dict(known or {})
    while len(values) < count:
        finished: list[Scored] = []
        for number in range(len(values)):
            finished += rank_points({number: outcome_of(values[number])}, list(objectives), None)
        for one in propose(space, values, finished, list(objectives), seed, BATCH):
            values[len(values)] = one
    return values


def test_values_are_inside_their_intervals_and_readable() -> None:
    for values in search(4 * BATCH).values():
        assert 1e-3 <= float(values["rate"]) <= 1
        assert 0 <= float(values["smooth"]) <= 0.2
        assert values["width"] in ("1", "2", "3", "4")
        assert values["head"] in ("a", "b")
        assert len(f"{float(values['rate']):.12g}".lstrip("0.").replace(".", "")) <= 4, values["rate"]


@pytest.mark.parametrize("interval", ["interval(0.123456,0.123457)", "interval(-0.98765432,-0.98765431)"])
def test_rounding_does_not_leave_an_interval(interval: str) -> None:
    space = read_space([f"rate={interval}"])
    one = space.dimensions[0].interval
    assert one is not None
    for values in search(BATCH, space).values():
        assert one.low <= float(values["rate"]) <= one.high


def test_every_choice_and_every_whole_number_is_tried() -> None:
    found = search(4 * BATCH).values()
    assert {one["head"] for one in found} == {"a", "b"}
    assert {one["width"] for one in found} == {"1", "2", "3", "4"}


def test_a_resumed_search_draws_the_same_points() -> None:
    whole = search(4 * BATCH)
    for finished in (0, BATCH, 3 * BATCH):
        known = {number: whole[number] for number in range(finished)}
        assert search(4 * BATCH, known=known) == whole


def test_batches_and_seeds_differ() -> None:
    whole = search(2 * BATCH)
    assert [whole[number] for number in range(BATCH)] != [whole[number] for number in range(BATCH, 2 * BATCH)]
    assert search(BATCH, seed=1) != search(BATCH)
    assert len({tuple(one.values()) for one in whole.values()}) == 2 * BATCH


def test_the_search_finds_the_best_values() -> None:
    space = read_space(["rate=tag(log,interval(1e-3,1))", "head=a,b"])
    found = search(6 * BATCH, space)
    best = max(found.values(), key=lambda one: float(measured(one).seeds[0].facts["train.top1"]))
    assert 0.07 <= float(best["rate"]) <= 0.14
    assert best["head"] == "b"
    late = [one for number, one in found.items() if number >= 4 * BATCH]
    assert sum(one["head"] == "b" for one in late) > len(late) / 2


def test_failed_and_pruned_points_do_not_stop_a_search() -> None:
    def mixed(values: Values) -> Outcome:
        if float(values["rate"]) > 0.3:
            return Outcome(FAILED, error="diverged")
        if float(values["rate"]) < 0.01:
            return Outcome(PRUNED, [SeedResult({}, "", None, [0.1, 0.2])])
        return measured(values)

    found = search(5 * BATCH, outcome_of=mixed)
    assert len(found) == 5 * BATCH
    assert search(5 * BATCH, outcome_of=mixed) == found


def test_a_search_of_which_every_point_failed_goes_on() -> None:
    assert len(search(3 * BATCH, outcome_of=lambda _: Outcome(FAILED, error="diverged"))) == 3 * BATCH


def test_several_objectives_are_searched() -> None:
    assert len(search(3 * BATCH, objectives=(TOP1, LOSS))) == 3 * BATCH


def test_without_optuna_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UserError) as caught:
        check_optuna(SPACE)
    assert str(caught.value).splitlines() == [
        "rate is searched in an interval, which needs the package optuna.",
        "Install it: pip install 'optuna>=4.9,<6'. Or write values, such as rate=0.01,0.1, which needs no package.",
    ]
