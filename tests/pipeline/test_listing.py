from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from slimline.pipeline.artifact import write_json
from slimline.pipeline.config_folders import ConfigFolders
from slimline.pipeline.errors import UserError
from slimline.pipeline.listing import list_runs, read_runs, show_bytes

Told = tuple[int, list[str], list[str], bool]
Run = Callable[..., Told]
ROOT = Path(__file__).parents[2]


def ten_oclock(day: int) -> str:
    return datetime(2026, 11, day, 10).astimezone().isoformat()


def write_run(path: Path, started: str, overrides: list[str], **others: object) -> None:
    path.mkdir(parents=True)
    manifest = {"status": "completed", "started": started, "overrides": overrides, "stages": {}, **others}
    write_json(path / "manifest.json", manifest)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    write_run(folder / "flowers" / "v001", ten_oclock(2), ["+experiment=flowers", "head=mlp", "run.seed=1"])
    write_json(folder / "flowers" / "v001" / "metrics.json", {"top1": 0.9375, "split": "test"})
    write_run(folder / "flowers" / "v002", ten_oclock(3), ["+experiment=flowers", "run.seed=1"], status="failed")
    write_run(folder / "mine" / "v001", ten_oclock(1), ["+experiment=bases", "run.seed=1"], status="running")
    write_json(folder / "mine" / "v001" / "metrics.json", {"top1": 0.5, "split": "validation"})
    artifact = folder / "store" / "train" / "abc" / "1"
    artifact.mkdir(parents=True)
    (artifact / "model").write_bytes(b"0" * 2_500_000)
    links = folder / "flowers" / "v001" / "artifacts"
    links.mkdir()
    (links / "train").symlink_to("../../../store/train/abc/1")
    (folder / "flowers" / "latest").symlink_to("v001")
    return folder


def test_runs_are_listed_oldest_first_with_their_settings(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    list_runs([f"run.directory={runs}"], ConfigFolders(None, (), ROOT / "conf"), "slimline")
    lines = re.sub(r" \d{3} B", " ... B", capsys.readouterr().out).splitlines()
    assert [re.split(r"  +", line.strip()) for line in lines] == [
        ["run", "started", "experiment", "varied", "test top-1", "size", "artifacts", "state"],
        ["mine/v001", "2026-11-01 10:00", "bases", "... B", "0 B", "running"],
        ["flowers/v001", "2026-11-02 10:00", "flowers", "head=mlp", "93.8%", "... B", "2.5 MB", "completed"],
        ["flowers/v002", "2026-11-03 10:00", "flowers", "... B", "0 B", "failed"],
    ]


def test_the_size_of_a_run_is_that_of_its_own_files(runs: Path) -> None:
    (runs / "mine" / "v001" / "logs").mkdir()
    (runs / "mine" / "v001" / "model").symlink_to(runs / "store" / "train" / "abc" / "1" / "model")
    entries, _ = read_runs(runs)
    for entry in entries:
        files = [path for path in entry.path.iterdir() if path.is_file() and not path.is_symlink()]
        assert entry.size_bytes == sum(path.stat().st_size for path in files) < 1000


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"status": "completed"}', '{"overrides": 3}', "\x00"])
def test_a_damaged_run_is_skipped_and_named(runs: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    (runs / "flowers" / "v002" / "manifest.json").write_text(text)
    (runs / "flowers" / "v003").mkdir()
    list_runs([f"run.directory={runs}"], ConfigFolders(None, (), ROOT / "conf"), "slimline")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["mine/v001", "flowers/v001", "skipped", "skipped"]
    assert lines[3].startswith(f"skipped {runs}/flowers/v002: its manifest.json is damaged (")
    assert lines[4] == f"skipped {runs}/flowers/v003: it has no manifest.json"


def test_a_directory_without_runs_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folders = ConfigFolders(None, (), ROOT / "conf")
    with pytest.raises(UserError) as caught:
        list_runs([], folders, "slimline")
    assert str(caught.value).splitlines() == [
        f"There are no runs: runs is not a directory (looked for {tmp_path / 'runs'}).",
        "Name the folder of the runs: slimline runs run.directory=PATH",
    ]
    with pytest.raises(UserError) as caught:
        list_runs(["flowers"], folders, "slimline")
    assert str(caught.value).splitlines() == [
        "runs does not take the argument flowers.",
        "Write slimline runs, or slimline runs run.directory=PATH",
    ]
    (tmp_path / "runs").mkdir()
    list_runs([], folders, "slimline")
    assert capsys.readouterr().out == "There are no runs in runs.\n"


def test_the_run_that_completes_a_sweep_is_listed(run: Run, installed_program: tuple[str, ...]) -> None:
    run("-m", "+experiment=toy", "train=slow,fast", program=installed_program)
    code, output, errors, heavy = run("runs", program=installed_program)
    assert (code, errors, heavy) == (0, [], False)
    assert [line.split()[0] for line in output] == ["run", "toy/v001"]  # its points are rows
    assert "train=fast" in output[1]
    assert all(line.split()[-1] == "completed" for line in output[1:])


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (99_949, "99.9 kB"),
        (99_950, "100 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (2_340_000_000, "2.3 GB"),
        (5e15, "5000 TB"),
    ],
)
def test_a_size_is_shown_in_a_suitable_unit(size: float, text: str) -> None:
    assert show_bytes(size) == text
