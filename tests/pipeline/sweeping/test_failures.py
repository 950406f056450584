"""Points that fail, are refused or are not available, and settings of the sweep itself that are wrong."""

from __future__ import annotations

import pytest

from tests.pipeline.sweeping.conftest import RATE, Sweeps
from tests.tiers import release

pytestmark = pytest.mark.slow  # each test runs a command or several


def states(sweeps: Sweeps, name: str = "s001") -> dict[int, str]:
    return {row["point"]: row["status"] for row in sweeps.board(name)}


def test_failed_and_refused_points_are_rows_and_the_others_continue(sweeps: Sweeps) -> None:
    code, output, errors = sweeps(f"{RATE}=0.1,7,0.3", "train.fault='',nan")
    assert code == 2
    assert errors[0] == "4 of 6 points of the sweep failed:"
    assert errors[1] == "  point 1: train.validation_top1 is not a finite number."
    assert states(sweeps) == {4: "completed", 0: "completed", **dict.fromkeys((1, 2, 3, 5), "failed")}
    assert [row["point"] for row in sweeps.board()] == [4, 0, 1, 2, 3, 5]
    assert [row["rank"] for row in sweeps.board()] == [1, 2, None, None, None, None]
    errors_of = {row["point"]: row["error"] for row in sweeps.board()}
    assert errors_of[2] == "The loss is no longer a number.\nLower train.optimizer.rate."
    assert errors_of[0] == ""
    assert (sweeps.about()["winner"], sweeps.about()["runs"]) == (4, {"4": "v001"})
    assert len([line for line in output if line.startswith("point ")]) == 6
    sweeps.calls()
    code, _, errors = sweeps(f"{RATE}=0.1,7,0.3", "train.fault='',nan")
    assert (code, errors[0], sweeps.calls()) == (2, "4 of 6 points of the sweep failed:", [])


def test_without_any_score_there_is_no_winner(sweeps: Sweeps) -> None:
    code, _, errors = sweeps(f"{RATE}=7,8")
    assert code == 2
    assert errors[:2] == [
        "Every point of the sweep failed, so there is no best point to complete:",
        "  point 0: The loss is no longer a number.",
    ]
    about = sweeps.about()
    assert (about["status"], about["winner"], about["runs"], sweeps.runs()) == ("completed", None, {}, {})
    assert not (sweeps.path() / "best").is_symlink()
    assert [row["score"] for row in sweeps.board()] == [None, None]


def test_a_failure_of_the_machine_is_tried_again(sweeps: Sweeps) -> None:
    code, output, _ = sweeps("train.fault='',crash")
    assert (code, states(sweeps)) == (2, {0: "completed", 1: "failed"})
    assert any("OSError: the disk is full" in line for line in output)
    (sweeps.folder / "repaired").touch()
    sweeps.calls()
    code, _, errors = sweeps("train.fault='',crash")
    assert (code, errors, sweeps.calls("train")) == (0, [], ["train 0.5 0"])
    assert states(sweeps) == {0: "completed", 1: "completed"}


def test_a_file_that_one_point_cannot_read_is_the_error_of_that_point(sweeps: Sweeps) -> None:
    (sweeps.folder / "photos.txt").write_text("a")
    code, _, errors = sweeps("gather.images=missing.txt,photos.txt")
    assert (code, states(sweeps)) == (2, {1: "completed", 0: "failed"})
    assert "missing.txt does not exist" in errors[1]
    (sweeps.folder / "missing.txt").write_text("b")
    assert sweeps("gather.images=missing.txt,photos.txt")[0] == 0
    assert states(sweeps) == {0: "completed", 1: "completed"}


@pytest.mark.parametrize("argument", ["gather.size=3,99", "train.fault='',unavailable"])
def test_points_that_are_not_available_may_be_skipped(sweeps: Sweeps, argument: str) -> None:
    code, _, errors = sweeps(argument)
    assert (code, states(sweeps)) == (2, {0: "completed", 1: "failed"})
    assert "cannot be downloaded" in errors[1]
    code, _, errors = sweeps(argument, "run.sweep.skip_unavailable=true", "run.sweep.new=true")
    assert (code, errors, states(sweeps, "s002")) == (0, [], {0: "completed", 1: "skipped"})


def test_a_sweep_of_which_nothing_is_available_has_no_winner(sweeps: Sweeps) -> None:
    code, _, errors = sweeps("train.fault=unavailable", f"{RATE}=0.1,0.2", "run.sweep.skip_unavailable=true")
    assert (code, states(sweeps)) == (2, {0: "skipped", 1: "skipped"})
    assert errors[0] == "No point of the sweep has a score, so there is no best point to complete."


def test_a_winner_whose_report_fails_leaves_a_complete_sweep(sweeps: Sweeps) -> None:
    typed = (f"{RATE}=0.1,0.3,0.9", "report.fault=true", "run.sweep.keep=2")
    code, _, errors = sweeps(*typed)
    assert (code, errors.count("The report cannot be written.")) == (2, 2)
    assert (sweeps.about()["status"], sweeps.about()["winner"], sweeps.about()["runs"]) == ("completed", 1, {})
    assert [run["sweep"]["point"] for run in sweeps.runs().values()] == [0, 1]
    sweeps.edit("if config.fault:", "if False:")
    code, _, errors = sweeps(*typed)
    assert (code, errors, sweeps.about()["runs"]) == (0, [], {"0": "v003", "1": "v004"})


WRONG = {
    "metric": (["run.sweep.metric=validation_top"], "run.sweep.metric=train.validation_top is not a numeric fact", 1),
    "text as a metric": (["run.sweep.metric=note"], "run.sweep.metric=train.note is not a numeric fact of train.", 1),
    "tie": (["run.sweep.tie=-train.loss"], "run.sweep.tie=train.loss is not a numeric fact of train.", 1),
    "columns": (["run.sweep.columns=[gather.size]"], "run.sweep.columns names gather.size, which is not a fact", 1),
    "target": (["run.sweep.target=trian"], "run.sweep.target names 'trian', which is not a stage", 0),
    "target that is not kept": (
        ["run.sweep.target=report"],
        "run.sweep.target=report is a stage whose output is not",
        0,
    ),
    "seeds": (["run.sweep.seeds=2", "run.sweep.seed_settings=[train.sed]"], "run.sweep.seeds=2 has no effect", 0),
    "points": (["run.sweep.points=5"], "run.sweep.points=5 is for a search", 0),
    "no values": (["train.note=range(3,3)"], "train.note=range(3,3) has no values", 0),
    "value": (["train.epochs=1,-3"], "train.epochs=-3 is out of range.", 0),
    "resume": (["run.sweep.resume=s007"], "run.sweep.resume=s007 does not exist", 0),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_a_wrong_setting_of_the_sweep_stops_it(sweeps: Sweeps, mistake: str) -> None:
    given, said, trained = WRONG[mistake]
    code, _, errors = sweeps(f"{RATE}=0.1,0.2,0.3", *given)
    assert code == 2
    assert errors[0].startswith(said)
    assert len(errors) == 2
    assert len(sweeps.calls("train")) == trained
    assert sweeps.runs() == {}
    if not trained:
        assert not list((sweeps.folder / "runs").rglob("sweep.json"))


def test_the_mistake_can_be_corrected_in_the_same_sweep(sweeps: Sweeps) -> None:
    grid = f"{RATE}=0.1,0.3"
    assert sweeps(grid, "run.sweep.columns=[gather.size]")[0] == 2
    sweeps.calls()
    assert sweeps(grid, "run.sweep.columns=[gather.count]")[0] == 0
    assert sweeps.calls("train") == ["train 0.3 0"]
    assert [row["gather.count"] for row in sweeps.board()] == [3.0, 3.0]


def test_other_columns_of_a_finished_sweep_are_filled_from_the_store(sweeps: Sweeps) -> None:
    grid = f"{RATE}=0.1,0.3"
    sweeps(grid)
    sweeps.calls()
    assert sweeps(grid, "run.sweep.columns=[gather.count,gather.words]")[0] == 0
    assert [(row["gather.count"], row["gather.words"]) for row in sweeps.board()] == [(3.0, "few"), (3.0, "few")]
    assert sweeps.calls() == []
    assert sweeps.about()["columns"] == ["gather.count", "gather.words"]
    code, _, errors = sweeps(grid, "run.sweep.columns=[gather.size]")
    assert (code, sweeps.calls()) == (2, [])
    assert errors[0].startswith("run.sweep.columns names gather.size, which is not a fact")


def test_a_winner_below_its_gate_runs_once(sweeps: Sweeps) -> None:
    typed = (f"{RATE}=0.1,0.3", "judge=schema", "run.targets=[judge,report]", "judge.least=2")
    for _ in range(2):
        code, _, errors = sweeps(*typed)
        assert code == 3
        assert errors[0] == "The model is not good enough."
    assert list(sweeps.runs()) == ["v001"]
    assert (sweeps.about()["status"], sweeps.about()["runs"]) == ("completed", {"1": "v001"})


@pytest.mark.parametrize(
    "line", release(["garbage", "[1,2]", '{"done":{"0":{"status":"completed"}},"keys":[]}'], only_release=["[1,2]"])
)
def test_a_damaged_journal_is_named(sweeps: Sweeps, line: str) -> None:
    sweeps(f"{RATE}=0.1,0.3", "run.sweep.keep=0")
    with (sweeps.path() / "journal.log").open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")
    code, _, errors = sweeps(f"{RATE}=0.1,0.3", "run.sweep.keep=0")
    assert code == 2
    assert "journal.log is damaged: a line cannot be read" in errors[0]
    assert len(errors) == 2


@pytest.mark.parametrize("text", release(["", "[]", "{}", '{"format": 2}'], only_release=["[]", "{}"]))
def test_a_sweep_that_cannot_be_read_is_skipped_and_named(sweeps: Sweeps, text: str) -> None:
    sweeps(f"{RATE}=0.1,0.3", "run.sweep.keep=0")
    (sweeps.path() / "sweep.json").write_text(text)
    code, output, errors = sweeps(f"{RATE}=0.1,0.3", "run.sweep.keep=0")
    assert (code, errors) == (0, [])
    assert output[0].startswith("skipped s001: ")
    assert sweeps.about("s002")["status"] == "completed"


def test_a_plan_of_a_sweep_knows_what_is_stored(sweeps: Sweeps) -> None:
    sweeps(f"{RATE}=0.1,0.3", "run.sweep.keep=0")
    code, output, errors = sweeps(f"{RATE}=0.1,0.4", "run.plan=true")
    assert (code, errors) == (0, [])
    states = [line.split()[:2] for line in output if line.startswith(("gather", "train"))]
    assert states == [["gather", "cached"], ["train", "cached"], ["gather", "cached"], ["train", "runs"]]


def test_a_forced_stage_trains_alone_and_again(sweeps: Sweeps) -> None:
    sweeps(f"{RATE}=0.1,0.3", "run.sweep.keep=0", STACK="1")
    sweeps.calls()
    sweeps(f"{RATE}=0.1,0.3", "run.sweep.keep=0", "run.force=[train]", STACK="1")
    assert sweeps.calls("train") == ["train 0.1 0", "train 0.3 0"]
