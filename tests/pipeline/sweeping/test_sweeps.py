"""Whole sweeps that end well: what they keep, show and repeat."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys

import pytest

from tests.pipeline.sweeping.conftest import RATE, ROOT, Sweeps

pytestmark = pytest.mark.slow


def test_the_best_three_are_completed_and_the_best_is_the_latest(sweeps: Sweeps) -> None:
    code, _, errors = sweeps(f"{RATE}=0.1,0.3,0.9,0.4", "run.sweep.keep=3")
    assert (code, errors) == (0, [])
    assert {name: (run["sweep"]["of"], run["sweep"]["point"]) for name, run in sweeps.runs().items()} == {
        "v001": ("s001", 0),
        "v002": ("s001", 3),
        "v003": ("s001", 1),
    }
    assert [row["run"] for row in sweeps.board()] == ["v003", "v002", "v001", ""]
    toy = sweeps.folder / "runs" / "toy"
    assert (toy / "latest").resolve().name == (sweeps.path() / "best").resolve().name == "v003"
    assert [name for name, run in sweeps.runs().items() if "winner_of" in run] == ["v003"]


def test_a_plan_runs_nothing(sweeps: Sweeps) -> None:
    code, output, errors = sweeps(f"{RATE}=0.1,0.3", "run.plan=true")
    assert (code, errors, sweeps.calls()) == (0, [], [])
    assert [line for line in output if line.startswith("point")] == ["point 0: rate=0.1", "point 1: rate=0.3"]
    assert len([line for line in output if line.startswith("train     runs")]) == 2
    assert not list(sweeps.folder.glob("runs/toy"))


def test_every_stage_of_every_point_is_shown_on_request(sweeps: Sweeps) -> None:
    _, output, _ = sweeps(f"{RATE}=0.1,0.3")
    before = output[: output.index("rank  validation_top1  seconds  point")]
    assert [line.split()[0] for line in before if "ran  " in line] == ["gather"]  # what all points share
    _, output, _ = sweeps(f"{RATE}=0.1,0.3", "run.sweep.new=true", "run.sweep.verbose=true", "gather.size=4")
    before = output[: output.index("rank  validation_top1  seconds  point")]
    assert [line.split()[:2] for line in before if line.startswith(("gather ", "train "))] == [
        ["gather", "ran"],
        ["train", "ran"],
        ["gather", "cached"],
        ["train", "ran"],
    ]


def test_a_row_can_be_repeated_by_its_command(sweeps: Sweeps) -> None:
    notes = "train.note='a b','$x','c,d','Straße',null"
    sweeps(notes, "train.layers=[3,4],[5]", f"{RATE}=0.3", "run.sweep.seeds=2")
    board = sweeps.board()
    assert len(board) == 10
    sweeps.calls()
    for row in (board[0], board[3], board[6], board[9]):
        typed = shlex.split(row["command"])
        assert sweeps(*typed[1:], sweep=False)[::2] == (0, []), row["command"]
        assert sweeps.calls("train") == [], row["command"]  # the row's artifact is found
    assert sweeps.board() == board


def test_forced_stages_are_made_again(sweeps: Sweeps) -> None:
    grid = f"{RATE}=0.1,0.3"
    sweeps(grid)
    sweeps.calls()
    code, _, _ = sweeps(grid, "run.force=[train]")
    assert code == 0
    assert set(sweeps.calls("train")) == {"train 0.1 0", "train 0.3 0"}
    assert [row["artifacts"][0].rpartition("/")[2] for row in sweeps.board("s002")] == ["2", "2"]


def test_a_search_continues_with_more_points(sweeps: Sweeps) -> None:
    typed = f"{RATE}=interval(0.0,1.0)"
    sweeps(typed, "run.sweep.points=8")
    first = {row["point"]: row[RATE] for row in sweeps.board()}
    sweeps.calls()
    code, output, _ = sweeps(typed, "run.sweep.resume=s001", "run.sweep.points=12")
    board = sweeps.board()
    assert (code, len(board), len(sweeps.calls("train"))) == (0, 12, 4)
    assert {row["point"]: row[RATE] for row in board if row["point"] < 8} == first
    assert output[0] == "sweep     s001  search of 12 points: 8 of them are done"


def test_points_that_lag_behind_end_early(sweeps: Sweeps) -> None:
    code, _, errors = sweeps(f"{RATE}=0.3,0.2,0.4,0.1,0.9", "train.epochs=20", "run.sweep.prune=median")
    assert (code, errors) == (0, [])
    [pruned] = [row for row in sweeps.board() if row["status"] == "pruned"]
    assert (pruned["point"], pruned["score"]) == (4, None)
    assert pruned["error"].startswith("ended early after 6 epochs: validation_top1 0.4000, the median is 0.9")
    assert len(sweeps.calls("epoch 0.9")) == 6


def test_a_sweep_that_a_file_keeps_gives_way_to_the_command_line(sweeps: Sweeps) -> None:
    config = sweeps.folder / "conf" / "config.yaml"
    kept = f"sweeper: {{params: {{{RATE}: '0.1,0.3', train.seed: '1,2'}}}}"
    config.write_text(config.read_text().replace("hydra: {", f"hydra: {{{kept}, "))
    assert sweeps()[0] == 0
    assert len(sweeps.board()) == 4
    assert sweeps("train.seed=5")[0] == 0
    assert [row["overrides"] for row in sweeps.board("s002")] == [
        ["train.seed=5", f"{RATE}={rate}"] for rate in ("0.3", "0.1")
    ]


def test_more_runs_of_a_finished_sweep_leave_the_best_one_the_latest(sweeps: Sweeps) -> None:
    sweeps(f"{RATE}=0.1,0.3,0.9,0.4")
    code, _, errors = sweeps(f"{RATE}=0.1,0.3,0.9,0.4", "run.sweep.keep=3")
    assert (code, errors) == (0, [])
    assert [run["sweep"]["point"] for run in sweeps.runs().values()] == [1, 0, 3]
    assert (sweeps.path() / "best").resolve().name == "v001"
    assert (sweeps.folder / "runs" / "toy" / "latest").resolve().name == "v001"


def test_a_run_that_a_killed_process_has_not_noted_is_taken_over(sweeps: Sweeps) -> None:
    sweeps(f"{RATE}=0.1,0.3")
    journal = sweeps.path() / "journal.log"
    lines = journal.read_text(encoding="utf-8").splitlines(keepends=True)
    assert '"runs"' in lines[-1] and '"completing"' in lines[-2]
    journal.write_text("".join(lines[:-1]), encoding="utf-8")
    code, _, errors = sweeps(f"{RATE}=0.1,0.3")
    assert (code, errors) == (0, [])
    assert list(sweeps.runs()) == ["v001"]
    assert sweeps.about()["runs"] == {"1": "v001"}


def test_points_that_are_added_to_a_search_leave_the_earlier_ones_as_they_are(sweeps: Sweeps) -> None:
    typed = (f"{RATE}=interval(0.0,1.0)", "run.sweep.keep=0")
    sweeps(*typed, "run.sweep.points=10", STACK="1")
    before = sweeps.lasting()
    code, output, errors = sweeps(*typed, "run.sweep.points=20", STACK="1")
    assert (code, errors) == (0, [])
    assert not any("run again" in line for line in output)
    after = {row["point"]: row for row in sweeps.lasting(without=("seconds", "rank", "overrides", "command"))}
    for row in before:
        assert {name: row[name] for name in after[row["point"]]} == after[row["point"]]


def test_shuffled_values_are_the_same_sweep(sweeps: Sweeps) -> None:
    for _ in range(3):
        code, _, errors = sweeps(f"{RATE}=shuffle(0.1,0.2,0.3,0.4,0.6)", "run.sweep.keep=0")
        assert (code, errors) == (0, [])
    assert [path.name for path in sweeps.path().parent.glob("s*")] == ["s001"]


def test_a_search_of_few_points_has_each_once(sweeps: Sweeps) -> None:
    code, output, errors = sweeps("train.epochs=interval(1,4)", "run.sweep.points=20", "run.sweep.keep=0")
    assert (code, errors) == (0, [])
    assert output[0] == "sweep     s001  search of 4 points"
    assert sorted(row["train.epochs"] for row in sweeps.board()) == [1, 2, 3, 4]


def test_a_search_is_not_made_smaller(sweeps: Sweeps) -> None:
    typed = (f"{RATE}=interval(0.0,1.0)", "run.sweep.keep=0")
    sweeps(*typed, "run.sweep.points=12")
    before = sweeps.lasting(without=("seconds", "overrides"))
    code, output, errors = sweeps(*typed, "run.sweep.points=2")
    assert (code, errors) == (0, [])
    assert "s001 has 12 points already; a sweep is not made smaller" in output
    assert sweeps.lasting(without=("seconds", "overrides")) == before


@pytest.mark.parametrize("values", ["[0.1, 0.3]", "0.1,0.3", '"0.1, 0.3"'])
def test_params_in_a_file_are_lists_or_texts(sweeps: Sweeps, values: str) -> None:
    text = f"# @package _global_\nhydra: {{sweeper: {{params: {{{RATE}: {values}}}}}}}\n"
    if values == "0.1,0.3":
        text = f"# @package _global_\nhydra:\n  sweeper:\n    params:\n      {RATE}: {values}\n"
    (sweeps.folder / "conf" / "sweep").mkdir()
    (sweeps.folder / "conf" / "sweep" / "mine.yaml").write_text(text)
    code, _, errors = sweeps("+sweep=mine", "run.sweep.keep=0")
    assert (code, errors) == (0, [])
    assert sorted(row[RATE] for row in sweeps.board()) == [0.1, 0.3]


@pytest.mark.parametrize("values", ["null", "[]", "{a: 1}"])
def test_params_without_values_are_refused(sweeps: Sweeps, values: str) -> None:
    (sweeps.folder / "conf" / "sweep").mkdir()
    text = f"# @package _global_\nhydra: {{sweeper: {{params: {{{RATE}: {values}}}}}}}\n"
    (sweeps.folder / "conf" / "sweep" / "mine.yaml").write_text(text)
    code, _, errors = sweeps("+sweep=mine")
    assert code == 2
    assert errors[0].startswith(f"hydra.sweeper.params: {RATE} ")


def test_the_line_of_a_point_comes_when_it_is_done(sweeps: Sweeps) -> None:
    process = subprocess.Popen(
        [sys.executable, "program.py", "-m", f"{RATE}=0.1,0.3", "train.wait_seconds=3", "run.sweep.keep=0"],
        cwd=sweeps.folder,
        env={**os.environ, "PYTHONPATH": f"{ROOT}"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        line = next(line for line in process.stdout if line.startswith("point 0"))
        assert "best" in line
        done = [one for one in (sweeps.path() / "journal.log").read_text().splitlines() if '"done"' in one]
        assert len(done) == 1
    finally:
        process.kill()
        process.communicate()
