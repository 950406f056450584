"""Leaderboard: which sweep is meant, what is written and printed, the command, and what a sweep calls at its end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from slimline.pipeline.artifact import write_json
from slimline.pipeline.errors import UserError
from slimline.stages.leaderboard import LeaderboardConfig, leaderboard, settle_sweep
from slimline.stages.table import FINISH_SWEEP
from tests.command_server import COMPOSING, ROOT, run_python
from tests.stages.pages.sweep_making import point, write_run, write_sweep

POINTS = [point(0, 0.9, {"head": "mlp"}, run="v004"), point(1, 0.8, {"head": "linear"})]


@pytest.fixture
def sweep(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_run(write_sweep(Path("runs"), POINTS), "v004")
    Path("runs/flowers/sweeps/s003/best").symlink_to("../../v004")
    return Path("runs/flowers/sweeps/s003")


@pytest.mark.parametrize(
    "of",
    [
        "runs/flowers/sweeps/s003",
        "s003",
        "runs/flowers/v004",
        "runs/flowers/sweeps/s003/best",
        "runs/flowers/sweeps/s003/sweep.json",
        "runs/flowers/sweeps/s003/leaderboard.parquet",
    ],
)
def test_a_sweep_is_named_by_its_folder_its_name_or_a_run(of, sweep):
    settled = settle_sweep(LeaderboardConfig(of), False)
    assert Path(settled.of).resolve() == sweep.resolve()


def test_the_page_is_written_into_the_sweeps_folder(sweep, tmp_path, capsys):
    out = tmp_path / "run"
    out.mkdir()
    facts = leaderboard(settle_sweep(LeaderboardConfig("s003"), False), out)
    assert facts == {"points": 2, "best": 0.9, "headline": f"board     {sweep}/leaderboard.html"}
    assert not list(out.iterdir())
    assert sorted(path.name for path in sweep.iterdir() if path.is_dir() or path.suffix == ".html") == [
        "best",
        "leaderboard.html",
        "logs",
    ]
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[1].split() == [
        "rank", "validation_top1", "validation_loss", "seconds", "point", "run", "what", "varied"
    ]  # fmt: skip
    assert lines[2].split() == ["1", "0.9000", "0.1000", "1.5", "0", "v004", "head=mlp"]
    assert any(line.startswith("The best of 2 points is chosen for its value") for line in lines)


def test_a_sweep_without_scores_has_no_best(tmp_path):
    folder = write_sweep(tmp_path, [point(0, None, {"head": "mlp"})])
    assert "best" not in leaderboard(LeaderboardConfig(str(folder)), tmp_path)


@pytest.mark.parametrize(
    ("of", "said"),
    [
        ("", "leaderboard.of is empty.\nThese sweeps exist: runs/flowers/sweeps/s003"),
        ("s009", "leaderboard.of=s009 does not exist.\nThese sweeps exist: runs/flowers/sweeps/s003"),
        ("runs/flowers", "is not a sweep: it has no sweep.json.\nThese sweeps exist: runs/flowers/sweeps/s003"),
        ("runs/flowers/sweeps", "is not a sweep: it has no sweep.json.\nThese sweeps exist: runs/flowers/sweeps/s003"),
        ("runs/flowers/v001", "is a run, but not one of a sweep.\nName a sweep's folder: leaderboard.of=runs/flowers"),
        ("runs/flowers/v002", "is a run, but not one of a sweep."),
    ],
)
def test_what_is_not_a_sweep_is_answered_with_those_that_are(of, said, sweep):
    for run, more in (("v001", {}), ("v002", {"sweep": "0f3a"})):  # earlier versions wrote a token
        (Path("runs/flowers") / run).mkdir()
        write_json(Path("runs/flowers") / run / "manifest.json", {"stages": {}, **more})
    with pytest.raises(UserError) as raised:
        settle_sweep(LeaderboardConfig(of), False)
    assert said in str(raised.value)


def test_without_any_sweep_an_example_is_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"Name a sweep's folder: leaderboard\.of=runs/flowers/sweeps/s003"):
        settle_sweep(LeaderboardConfig("runs/flowers"), False)


def test_a_name_of_several_sweeps_is_not_enough(sweep):
    (Path("runs/roses/sweeps/s003")).mkdir(parents=True)
    (Path("runs/roses/sweeps/s003/sweep.json")).write_text("{}", encoding="utf-8")
    with pytest.raises(
        UserError, match=r"the name of 2 sweeps\.\nName one of the folders: runs/flowers/.*, runs/roses"
    ):
        settle_sweep(LeaderboardConfig("s003"), False)


@pytest.mark.skipif(os.name != "posix" or os.getuid() == 0, reason="permissions do not bind this user")
def test_a_folder_that_is_not_writable_is_answered(sweep):
    sweep.chmod(0o555)
    with pytest.raises(UserError, match="is not writable"):
        settle_sweep(LeaderboardConfig("s003"), False)
    sweep.chmod(0o755)


def test_a_damaged_sweep_is_answered_before_a_run_is_started(sweep):
    (sweep / "leaderboard.parquet").write_bytes(b"")
    with pytest.raises(UserError, match="is damaged"):
        settle_sweep(LeaderboardConfig("s003"), False)


def test_a_sweep_calls_one_function_at_its_end(sweep):
    FINISH_SWEEP(sweep)
    assert (sweep / "leaderboard.html").is_file()
    assert sorted(path.name for path in (sweep / "logs").iterdir()) == ["000", "001"]


@pytest.mark.slow
def test_the_command_prints_the_table_and_imports_no_tensorflow(sweep, tmp_path):
    arguments = ["-m", "pipeline", "+experiment=leaderboard", "leaderboard.of=s003"]
    done = run_python(
        *arguments, folder=tmp_path, environment={**os.environ, "PYTHONPATH": str(ROOT)}, modules=COMPOSING
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert "leaderboard runs                  always" in lines
    assert "board     runs/flowers/sweeps/s003/leaderboard.html" in lines
    assert any(line.startswith("   1           0.9000") for line in lines)
    assert (sweep / "leaderboard.html").is_file()
    assert "tensorflow" not in done.imported
