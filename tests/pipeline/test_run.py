from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from slimline.pipeline import run as run_module
from slimline.pipeline.artifact import Artifact
from slimline.pipeline.run import Run, claim_version, read_manifest, run_state


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "toy"


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    path = tmp_path / "runs" / "store" / "fit" / "ab12" / "2"
    path.mkdir(parents=True)
    (path / "model.txt").write_text("weights")
    return Artifact("fit", "ab12", 2, path, "d1", 3.25, {"score": 0.5}, {})


def test_versions_count_up_from_the_highest(folder: Path) -> None:
    assert claim_version(folder).name == "v001"
    assert claim_version(folder).name == "v002"
    (folder / "v999").mkdir()
    (folder / "v001").rmdir()
    for name in ("latest", "v", "v5000.old", "notes"):
        (folder / name).mkdir()
    assert claim_version(folder).name == "v1000"
    assert claim_version(folder).name == "v1001"


def test_a_version_that_another_run_takes_first_is_skipped(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mkdir = Path.mkdir

    def late(path: Path, *arguments: Any, **others: Any) -> None:
        if path.name == "v001":
            mkdir(path, exist_ok=True)  # another run claims it first
        mkdir(path, *arguments, **others)

    monkeypatch.setattr(Path, "mkdir", late)
    assert claim_version(folder).name == "v002"


def test_a_run_records_its_config_overrides_and_environment(folder: Path) -> None:
    run = Run(folder, "run:\n  name: toy\n", ["fit.epochs=3"], sweep="s1")
    assert sorted(path.name for path in run.path.iterdir()) == [
        ".running",
        "config.yaml",
        "environment.json",
        "manifest.json",
        "metrics.json",
        "overrides.json",
    ]
    assert (run.path / "config.yaml").read_text() == "run:\n  name: toy\n"
    assert json.loads((run.path / "overrides.json").read_text()) == ["fit.epochs=3"]
    manifest = read_manifest(run.path)
    assert {name: manifest[name] for name in ("status", "overrides", "sweep", "stages")} == {
        "status": "running",
        "overrides": ["fit.epochs=3"],
        "sweep": "s1",
        "stages": {},
    }


def test_the_manifest_names_plug_ins_and_their_versions(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "describe_environment", lambda: {"plugins": {"leaf-heads": "1.2"}})
    run = Run(folder, "", [])
    run.finish()
    assert read_manifest(run.path)["plugins"] == {"leaf-heads": "1.2"}


def test_each_stage_is_in_the_manifest_and_its_measurements_in_the_metrics(folder: Path, artifact: Artifact) -> None:
    (artifact.path / "metrics.json").write_text('{"top1": 0.5}', encoding="utf-8")
    run = Run(folder, "", [])
    run.record("fit", cached=True, seconds=0.12345, facts=artifact.facts, artifact=artifact)
    run.record("tell", cached=False, seconds=1.0, facts={})
    assert read_manifest(run.path)["stages"] == {
        "fit": {
            "cached": True,
            "seconds": 0.123,
            "facts": {"score": 0.5},
            "key": "ab12",
            "generation": 2,
            "digest": "d1",
            "made_in_seconds": 3.25,
        },
        "tell": {"cached": False, "seconds": 1.0, "facts": {}},
    }
    assert json.loads((run.path / "metrics.json").read_text()) == {"top1": 0.5}


def test_artifact_links_are_relative_and_valid_after_the_folder_of_runs_moves(
    folder: Path, artifact: Artifact, tmp_path: Path
) -> None:
    run = Run(folder, "", [])
    run.record("fit", cached=False, seconds=1, facts={}, artifact=artifact)
    run.finish()
    assert str((run.path / "artifacts" / "fit").readlink()) == "../../../store/fit/ab12/2"
    (tmp_path / "elsewhere").mkdir()
    moved = (tmp_path / "runs").rename(tmp_path / "elsewhere" / "kept")
    assert (moved / "toy" / "latest" / "artifacts" / "fit" / "model.txt").read_text() == "weights"


def test_latest_points_to_the_newest_completed_run(folder: Path) -> None:
    Run(folder, "", []).finish()
    assert str((folder / "latest").readlink()) == "v001"
    failed = Run(folder, "", [])
    failed.finish(error="it broke")
    running = Run(folder, "", [])
    assert str((folder / "latest").readlink()) == "v001"
    running.finish()
    assert str((folder / "latest").readlink()) == "v003"
    assert sorted(path.name for path in folder.iterdir()) == ["latest", "v001", "v002", "v003"]


def test_an_earlier_run_that_ends_later_does_not_become_latest(folder: Path) -> None:
    earlier, later = Run(folder, "", []), Run(folder, "", [])
    later.finish()
    earlier.finish()
    assert str((folder / "latest").readlink()) == "v002"


def test_a_link_that_a_crash_left_is_replaced(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / f".latest.{os.getpid()}").symlink_to("v001")  # process ids repeat, especially in containers
    Run(folder, "", []).finish()
    assert str((folder / "latest").readlink()) == "v001"


def test_a_failed_run_keeps_its_directory_and_its_error(folder: Path) -> None:
    run = Run(folder, "", [])
    run.finish(error="it broke")
    manifest = read_manifest(run.path)
    assert (manifest["status"], manifest["error"]) == ("failed", "it broke")
    assert manifest["seconds"] >= 0
    assert not (folder / "latest").exists()


def test_a_completed_run_has_no_error(folder: Path) -> None:
    run = Run(folder, "", [])
    run.finish()
    manifest = read_manifest(run.path)
    assert manifest["status"] == "completed"
    assert "error" not in manifest


def test_a_run_whose_process_is_gone_was_killed(folder: Path) -> None:
    code = (
        "import os, sys, time; from pathlib import Path; from slimline.pipeline.run import Run;"
        f"run = Run(Path({str(folder)!r}), 'run: {{}}', []); print('started', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    try:
        assert process.stdout and process.stdout.readline()
        [path] = folder.glob("v*")
        assert run_state(path, read_manifest(path)) == "running"
    finally:
        process.kill()
        process.communicate()
    assert run_state(path, read_manifest(path)) == "killed"


def test_a_finished_run_is_not_killed(folder: Path) -> None:
    run = Run(folder, "run: {}", [])
    assert run_state(run.path, run.manifest) == "running"
    run.finish()
    assert run_state(run.path, run.manifest) == "completed"
    assert not (run.path / ".running").exists()
