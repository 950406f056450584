"""The same command again: finished, changed, cut off, or wanted once more."""

from __future__ import annotations

import re

import pytest

from tests.pipeline.sweeping.conftest import RATE, Sweeps

pytestmark = pytest.mark.slow  # each test runs several commands

GRID = f"{RATE}=0.1,0.3,0.9"


def test_the_same_command_again_computes_nothing_and_shows_the_board(sweeps: Sweeps) -> None:
    assert sweeps(GRID)[0] == 0
    before, first = sweeps.board(), sweeps.calls()
    assert first == ["gather 3", "train 0.1 0", "train 0.3 0", "train 0.9 0", "report 1.0"]
    code, output, errors = sweeps(GRID)
    assert (code, errors, sweeps.calls()) == (0, [], [])
    assert "sweep     s001 is finished; run.sweep.new=true begins another one" in output
    assert [line.split()[0] for line in output if "rate=" in line] == ["1", "2", "3"]
    assert not [line for line in output if line.startswith("point")]
    assert sweeps.board() == before
    assert list(sweeps.runs()) == ["v001"]
    code, _, _ = sweeps(GRID, "run.sweep.new=true")
    assert (code, sweeps.calls()) == (0, ["report 1.0"])  # the points are in the store
    assert sweeps.lasting("s002", ("seconds", "run", "command", "overrides")) == sweeps.lasting(
        without=("seconds", "run", "command", "overrides")
    )
    code, output, _ = sweeps(GRID)
    assert (code, sweeps.calls()) == (0, [])
    assert output[0].startswith("sweep     s002 ")  # the newest of those that were asked the same


def test_changed_code_is_said_and_runs_again_up_to_the_winners_run(sweeps: Sweeps) -> None:
    sweeps(GRID)
    before = sweeps.board()
    sweeps.edit("rate - 0.3", "rate - 0.8")
    sweeps.calls()
    code, output, errors = sweeps(GRID)
    assert (code, errors) == (0, [])
    assert "points 0, 1, 2 run again, because what they were computed from changed: gather: code: toysweep" in output
    assert sweeps.calls() == ["gather 3", "train 0.1 0", "train 0.3 0", "train 0.9 0", "report 0.9"]
    assert [line.split()[1] + line.split()[-3] for line in output if line.startswith("point ")] == [
        "00.3000",
        "10.5000",
        "20.9000",
    ]
    assert not [line for line in output if "is finished" in line]
    assert [row["train.optimizer.rate"] for row in sweeps.board()] == [0.9, 0.3, 0.1]
    assert [row["train.optimizer.rate"] for row in before] == [0.3, 0.1, 0.9]
    assert (sweeps.about()["winner"], sweeps.about()["runs"]) == (2, {"2": "v002"})
    assert (sweeps.path() / "best").resolve().name == "v002"


def test_the_winner_of_changed_code_has_a_run_of_that_code(sweeps: Sweeps) -> None:
    sweeps(GRID)
    sweeps.edit('(out / "model.txt").write_text(f"{config}"', '(out / "model.txt").write_text(f"new {config}"')
    code, _, _ = sweeps(GRID)
    [new] = [row for row in sweeps.board() if row["rank"] == 1]
    assert (code, new["point"], new["run"]) == (0, 1, "v002")
    run = sweeps.folder / "runs" / "toy" / new["run"]
    assert (run / "artifacts" / "train" / "model.txt").read_text().startswith("new ")
    assert (run / "artifacts" / "train").resolve() == (sweeps.path() / new["artifacts"][0]).resolve()


def test_a_changed_file_runs_only_the_points_that_read_it_again(sweeps: Sweeps) -> None:
    for name in ("a.txt", "b.txt"):
        (sweeps.folder / name).write_text(name)
    sweeps("gather.images=a.txt,b.txt")
    (sweeps.folder / "b.txt").write_text("other photos")
    sweeps.calls()
    code, output, _ = sweeps("gather.images=a.txt,b.txt")
    assert (code, sweeps.calls("gather"), sweeps.calls("train")) == (0, ["gather 3"], [])
    [line] = [line for line in output if "run again" in line]
    assert re.fullmatch(
        r"point 1 run again, because what they were computed from changed: gather: config: images \w{8}… -> \w{8}…",
        line,
    )
