from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from slimline.pipeline.sweeping.board import MOST_SHOWN, Board
from slimline.pipeline.sweeping.objectives import Objective
from slimline.pipeline.sweeping.points import FAILED, PRUNED, SKIPPED, Outcome, SeedResult
from slimline.pipeline.sweeping.ranking import rank_points
from slimline.pipeline.sweeping.space import Values, read_space
from tests.pipeline.sweeping.conftest import outcome

TOP1, SIZE, LOSS = Objective("train.top1", True), Objective("base.size", False), Objective("train.loss", False)
SPACE = ["+experiment=toy", "train.rate=0.1,0.3,1", "train.epochs=2,3", "head=a,b"]


def board(
    outcomes: Mapping[int, Outcome],
    objectives: Sequence[Objective] = (TOP1,),
    columns: Sequence[str] = (),
    tie: Objective | None = LOSS,
    typed: Sequence[str] = SPACE,
    runs: Mapping[str, str] | None = None,
) -> Board:
    space = read_space(typed)
    values: dict[int, Values] = dict(enumerate(space.grid()))
    ranked = rank_points(outcomes, list(objectives), tie)
    return Board(
        ranked,
        space,
        values,
        list(objectives),
        tie,
        list(columns),
        runs or {},
        lambda one: shlex.join(["slimline", *one]),
    )


def facts(top1: float, loss: float = 1.0, **more: Any) -> dict[str, Any]:
    return {"train.top1": top1, "train.loss": loss, "base.size": 10.0, **more}


def table(made: Board, folder: Path) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """Write a board and return its columns with their types, and its rows."""
    made.write(folder)
    found = pq.read_table(folder / "leaderboard.parquet")
    assert [path.name for path in folder.iterdir()] == ["leaderboard.parquet"]
    return {field.name: str(field.type).replace("item", "element") for field in found.schema}, found.to_pylist()


TYPES = {
    "rank": "int32",
    "point": "int32",
    "status": "string",
    "score": "double",
    "spread": "double",
    "scores": "list<element: double>",
    "train.top1": "double",
    "train.loss": "double",
    "seconds": "double",
    "error": "string",
    "train.rate": "double",
    "train.epochs": "int64",
    "head": "string",
    "overrides": "list<element: string>",
    "command": "string",
    "artifacts": "list<element: string>",
    "members": "list<element: int32>",
    "run": "string",
}


def test_the_columns_have_their_types_whatever_the_points_gave(tmp_path: Path) -> None:
    for number, outcomes in enumerate(
        (
            {0: outcome(facts(0.5)), 3: outcome(facts(0.9), facts(0.7))},
            {0: Outcome(FAILED, error="x"), 1: Outcome(SKIPPED, error="x")},
            {0: outcome({"train.top1": 1, "train.loss": 2}), 1: outcome({"train.top1": math.nan})},
            {0: Outcome(PRUNED, [SeedResult({}, "", None, [0.1])], error="ended early")},
        )
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        found, rows = table(board(outcomes), folder)
        assert found == TYPES, number
        assert [row["point"] for row in rows] == [one.number for one in board(outcomes).ranked]


def test_a_row_has_what_the_point_was_and_gave(tmp_path: Path) -> None:
    stacked = Outcome(
        "completed", [SeedResult(facts(0.9), "stack/k/1", 3), SeedResult(facts(0.7), "stack/k/1", 4)], 2.5
    )
    _, rows = table(board({0: Outcome(FAILED, error="a\nb"), 11: stacked}, runs={"11": "v004"}), tmp_path)
    overrides = ["+experiment=toy", "train.rate=1", "train.epochs=3", "head=b"]
    assert rows[0] == {
        "rank": 1,
        "point": 11,
        "status": "completed",
        "score": pytest.approx(0.8),
        "spread": pytest.approx(0.1 * math.sqrt(2)),
        "scores": [0.9, 0.7],
        "train.top1": pytest.approx(0.8),
        "train.loss": 1.0,
        "seconds": 2.5,
        "error": "",
        "train.rate": 1.0,
        "train.epochs": 3,
        "head": "b",
        "overrides": overrides,
        "command": f"slimline {' '.join(overrides)}",
        "artifacts": ["../../../store/stack/k/1"] * 2,
        "members": [3, 4],
        "run": "v004",
    }
    assert {name: rows[1][name] for name in ("rank", "score", "spread", "scores", "error", "artifacts", "run")} == {
        "rank": None,
        "score": None,
        "spread": None,
        "scores": [],
        "error": "a\nb",
        "artifacts": [],
        "run": "",
    }


def test_facts_of_other_stages_are_columns(tmp_path: Path) -> None:
    two = outcome(facts(0.5, **{"base.name": "lite", "base.frozen": True}), facts(0.5, **{"base.name": "lite"}))
    names = ("base.size", "base.name", "train.top1")
    types, [row] = table(board({0: two}, columns=names), tmp_path)
    assert (types["base.size"], types["base.name"]) == ("double", "string")
    assert (row["base.size"], row["base.name"]) == (10.0, "lite")
    assert len(types) == len(set(types))


def test_several_objectives_mark_the_front(tmp_path: Path) -> None:
    points = {0: outcome(facts(0.9)), 1: outcome(facts(0.8, **{"base.size": 5.0})), 2: outcome(facts(0.7))}
    made = board(points, objectives=(TOP1, SIZE))
    types, rows = table(made, tmp_path)
    assert (types["pareto"], types["base.size"]) == ("bool", "double")
    assert [(row["point"], row["pareto"]) for row in rows] == [(0, True), (1, True), (2, False)]
    title, *lines = made.lines().splitlines()
    assert title.split()[:4] == ["rank", "front", "top1", "size"]
    assert [line.split()[1] == "*" for line in lines] == [True, True, False]


@pytest.mark.parametrize(
    ("values", "kind", "found"),
    [
        ("1,2", "int64", [1, 2]),
        ("1,2.5", "double", [1.0, 2.5]),
        ("1,x", "string", ["1", "x"]),
        ("true,false", "string", ["True", "False"]),
        ("null,0.5", "double", [None, 0.5]),
        ("[1],[2]", "string", ["[1]", "[2]"]),
        ("100000000000000000000,1", "double", [1e20, 1.0]),
    ],
)
def test_a_varied_setting_is_a_number_where_all_its_values_are(
    tmp_path: Path, values: str, kind: str, found: list[Any]
) -> None:
    made = board({0: outcome(facts(0.5)), 1: outcome(facts(0.4))}, typed=[f"train.x={values}"])
    types, rows = table(made, tmp_path)
    assert types["train.x"] == kind
    assert [row["train.x"] for row in rows] == found


def test_the_table_on_the_terminal_has_the_best_points() -> None:
    points = {number: outcome(facts(number / 100)) for number in range(12)}
    lines = board(points).lines().splitlines()
    assert lines[0].split() == ["rank", "top1", "seconds", "point"]
    assert lines[1].split() == ["1", "0.1100", "1.5", "rate=1", "epochs=3", "head=b"]
    assert len(lines) == 13
    many = {number: outcome(facts(number)) for number in range(MOST_SHOWN + 5)}
    assert board(many, typed=["train.seed=range(25)"]).lines().splitlines()[-1] == "... and 5 more"


def test_the_table_has_the_error_of_a_point_in_one_line() -> None:
    lines = board({0: Outcome(FAILED, error="The loss is not a number.\nLower it.", seconds=1.0)}).lines().splitlines()
    assert lines[1].split(maxsplit=3)[1:] == ["failed", "1.0", "rate=0.1 epochs=2 head=a  (The loss is not a number.)"]
    long = board({0: Outcome(FAILED, error="x" * 500)}).lines().splitlines()
    assert max(map(len, long)) < 140


def test_the_report_of_the_best_point_gets_the_table() -> None:
    rows = board({0: outcome(facts(0.5)), 1: Outcome(FAILED, error="x")}, columns=["base.size"]).for_report()
    assert rows == [
        {
            "overrides": ["train.rate=0.1", "train.epochs=2", "head=a"],
            "train.top1": 0.5,
            "base.size": 10.0,
            "seconds": 1.5,
        },
        {
            "overrides": ["train.rate=0.1", "train.epochs=2", "head=b"],
            "train.top1": None,
            "base.size": None,
            "seconds": 0.0,
        },
    ]
