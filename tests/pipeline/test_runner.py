from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from slimline.pipeline.artifact import Artifact, Facts
from slimline.pipeline.errors import UserError
from slimline.pipeline.run import read_manifest
from slimline.pipeline.runner import execute
from slimline.pipeline.stage import Stage


def cached_stages(run: Any) -> dict[str, bool]:
    return {name: entry["cached"] for name, entry in read_manifest(run.path)["stages"].items()}


def test_a_first_run_makes_everything(toys: Any, tmp_path: Path) -> None:
    run = toys.execute()
    assert run.path == tmp_path / "runs" / "toy" / "v001"
    assert toys.calls == ["gather", "fit", "tell"]
    assert cached_stages(run) == {"gather": False, "fit": False, "tell": False}
    assert (run.path / "artifacts" / "fit" / "model.txt").read_text() == "['0', '1', '2'] 0.01 False"
    assert (run.path / "tale.txt").read_text() == "toy: 0.75 gather, fit"
    assert run.manifest["stages"]["fit"]["facts"] == {"score": 0.75, "polished": False}
    assert sorted(path.name for path in (run.path / "artifacts").iterdir()) == ["fit", "gather"]


def test_a_second_run_calls_only_what_is_never_cached(toys: Any) -> None:
    first = toys.execute()
    second = toys.execute()
    assert toys.calls == ["tell"]
    assert cached_stages(second) == {"gather": True, "fit": True, "tell": False}
    assert (second.path / "artifacts" / "fit").readlink() == (first.path / "artifacts" / "fit").readlink()
    assert second.path.name == "v002"


def test_a_changed_field_runs_its_stage_and_those_after_it(toys: Any) -> None:
    toys.execute()
    toys.execute(fit={"epochs": 3})
    assert toys.calls == ["fit", "tell"]
    toys.execute(gather={"size": 4})
    assert toys.calls == ["gather", "fit", "tell"]


def test_a_rebuilt_input_with_the_same_content_runs_nothing_after_it(toys: Any) -> None:
    toys.execute()
    toys.code["gather"] = {"toys.gather": "edited, to the same end"}
    toys.execute()
    assert toys.calls == ["gather", "tell"]


def test_force_runs_one_stage_again_and_earlier_runs_keep_theirs(toys: Any) -> None:
    first = toys.execute()
    second = toys.execute({"force": ["gather"]})
    assert toys.calls == ["gather", "tell"]
    assert cached_stages(second) == {"gather": False, "fit": True, "tell": False}
    assert (first.path / "artifacts" / "gather").readlink().name == "1"
    assert (second.path / "artifacts" / "gather").readlink().name == "2"
    toys.execute()
    assert toys.calls == ["tell"]


def test_forced_stages_are_logged_first(toys: Any, caplog: pytest.LogCaptureFixture) -> None:
    toys.execute()
    caplog.clear()
    with caplog.at_level("INFO", logger="slimline.pipeline"):
        toys.execute({"force": ["fit"]})
    lines = [record.getMessage() for record in caplog.records]
    assert [line[:36].rstrip() for line in lines[:3]] == [
        "gather    cached  2332d0d172ab",
        "fit       runs    68eeb59eb7f9  forc",
        "tell      runs                  alwa",
    ]
    assert lines[1].endswith("  forced: run.force names it")


def test_each_stage_has_one_line_and_the_summary_its_headline(
    toys: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    with caplog.at_level("INFO", logger="slimline.pipeline"):
        toys.execute()
    lines = [re.sub(r"\d+\.\d s", "0.0 s", record.getMessage()) for record in caplog.records]
    assert lines[3:] == [
        "-> runs/toy/v001",
        "gather    ran     2332d0d172ab     0.0 s  count 3, reading_seconds 0.25",
        "fit       ran     68eeb59eb7f9     0.0 s  score 0.75, polished false",
        "tell      ran                      0.0 s",
        "tale      runs/toy/v001/tale.txt",
        "done in 0.0 s: runs/toy/v001",
    ]


def test_an_optional_input_is_none_until_it_is_needed(toys: Any) -> None:
    run = toys.execute(polish={})
    assert toys.calls == ["gather", "fit", "tell"]
    assert run.manifest["stages"]["fit"]["facts"]["polished"] is False
    run = toys.execute(polish={}, fit={"polished": True})
    assert toys.calls == ["polish", "fit", "tell"]
    assert run.manifest["stages"]["fit"]["facts"]["polished"] is True


def test_an_input_that_is_not_needed_is_none_although_the_run_makes_it(toys: Any) -> None:
    run = toys.execute({"targets": ["polish", "tell"]}, polish={})
    assert toys.calls == ["gather", "polish", "fit", "tell"]
    assert run.manifest["stages"]["fit"]["facts"]["polished"] is False
    toys.execute()
    assert toys.calls == ["tell"]


def test_given_targets_replace_the_configs_own(toys: Any) -> None:
    run = execute(toys.config(), toys.stages, ["a=1"], targets=["gather"], sweep="s1")
    assert run is not None
    manifest = read_manifest(run.path)
    assert list(manifest["stages"]) == ["gather"]
    assert (manifest["overrides"], manifest["sweep"]) == (["a=1"], "s1")


def test_the_resolved_config_is_recorded(toys: Any) -> None:
    def settle(config: Any, plan: bool) -> Any:
        config.size = 5
        return config

    toys.stages["gather"] = Stage(**{**vars(toys.stages["gather"]), "resolve": settle})
    run = toys.execute(polish=None)
    kept = OmegaConf.to_container(OmegaConf.load(run.path / "config.yaml"))
    assert list(kept) == ["run", "tell", "gather", "fit"]
    assert kept["gather"] == {"images": None, "size": 5, "threads": 1, "remote": False}
    assert kept["run"]["targets"] == ["tell"]


def test_a_stage_that_fails_leaves_its_error_in_the_manifest(toys: Any, tmp_path: Path) -> None:
    def fail(config: Any, out: Path, **inputs: Artifact) -> Facts:
        raise RuntimeError("the loss is a teapot")

    toys.stages["fit"] = Stage(**{**vars(toys.stages["fit"]), "function": fail})
    with pytest.raises(RuntimeError, match="teapot"):
        toys.execute()
    manifest = read_manifest(tmp_path / "runs" / "toy" / "v001")
    assert manifest["status"] == "failed"
    assert manifest["error"].startswith("Traceback")
    assert manifest["error"].endswith("RuntimeError: the loss is a teapot\n")
    assert list(manifest["stages"]) == ["gather"]
    assert not (tmp_path / "runs" / "toy" / "latest").exists()


def test_a_user_error_is_in_the_manifest_without_a_traceback(toys: Any, tmp_path: Path) -> None:
    def refuse(config: Any, out: Path, **inputs: Artifact) -> Facts:
        raise UserError("Too few photos.", "Add some.")

    toys.stages["fit"] = Stage(**{**vars(toys.stages["fit"]), "function": refuse})
    with pytest.raises(UserError):
        toys.execute()
    assert read_manifest(tmp_path / "runs" / "toy" / "v001")["error"] == "Too few photos.\nAdd some."


@pytest.mark.parametrize("resume", [False, True], ids=["from scratch", "resumed"])
def test_files_that_change_while_they_are_read_are_refused_and_nothing_is_kept(
    toys: Any, tmp_path: Path, resume: bool
) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "1.jpg").write_text("a")

    def disturbed(config: Any, out: Path) -> Facts:
        (out / "first").write_text((tmp_path / "photos" / "1.jpg").read_text())
        (tmp_path / "photos" / "2.jpg").write_text("b")
        return {}

    toys.stages["gather"] = Stage(**{**vars(toys.stages["gather"]), "function": disturbed, "resume": resume})
    with pytest.raises(UserError, match="The input files of gather changed while they were read"):
        toys.execute(gather={"images": str(tmp_path / "photos")})
    assert not list((tmp_path / "runs" / "store").glob("gather/*/[0-9]*"))
    assert read_manifest(tmp_path / "runs" / "toy" / "v001")["status"] == "failed"

    def undisturbed(config: Any, out: Path) -> Facts:
        return {"found": sorted(path.name for path in out.iterdir())}

    (tmp_path / "photos" / "2.jpg").unlink()
    toys.stages["gather"] = Stage(**{**vars(toys.stages["gather"]), "function": undisturbed})
    run = toys.execute({"targets": ["gather"]}, gather={"images": str(tmp_path / "photos")})
    assert run.manifest["stages"]["gather"]["facts"] == {"found": []}


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ({"targets": []}, "run.targets is empty"),
        ({"targets": ["tel"]}, "run.targets names 'tel', which is not a stage of this experiment"),
        ({"force": ["polish"]}, "run.force names 'polish', which is not a stage of this experiment"),
        ({"force": ["fit"], "plan": True}, "run.plan=true and run.force cannot be used together"),
        ({"name": "store"}, "run.name='store' is not a valid name for a folder of runs"),
        ({"name": "a/b"}, "run.name='a/b' is not a valid name for a folder of runs"),
        ({"name": ""}, "run.name='' is not a valid name for a folder of runs"),
        ({"name": ".hidden"}, "run.name='.hidden' is not a valid name for a folder of runs"),
    ],
)
def test_an_impossible_config_is_rejected_before_anything_runs(
    toys: Any, tmp_path: Path, run: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message.replace(".", r"\.")):
        toys.execute(run)
    assert toys.calls == []
    assert not list(tmp_path.iterdir())


def test_given_targets_are_checked_too(toys: Any) -> None:
    with pytest.raises(UserError, match="fitt"):
        execute(toys.config(), toys.stages, [], targets=["fitt"])


def test_a_section_of_the_config_that_no_stage_reads_is_rejected(toys: Any) -> None:
    config = OmegaConf.merge(toys.config(), {"fiit": {"epochs": 3}})
    with pytest.raises(UserError, match="fiit"):
        execute(config, toys.stages, [])


def test_a_value_that_is_missing_is_named(toys: Any) -> None:
    config = toys.config()
    config.fit.epochs = "???"
    with pytest.raises(UserError, match=r"fit\.epochs is required, but has no value"):
        execute(config, toys.stages, [])


def test_a_shipped_config_without_its_schema_is_a_type_error(toys: Any) -> None:
    config = toys.config()
    config.fit = {"epochs": 3}
    with pytest.raises(TypeError, match="conf/fit/ does not give a FitConfig"):
        execute(config, toys.stages, [])


def test_choices_of_an_input_count_in_the_stages_after_it(toys: Any) -> None:
    gather = toys.stages["gather"]
    toys.stages["gather"] = replace(gather, choices=lambda config: {"toys.table": [f"toys.of_{config.size}"]})
    for size in (3, 4, 3):
        run = toys.execute(gather={"size": size})
        for name in ("gather", "fit"):
            record = json.loads((run.path / "artifacts" / name / "artifact.json").read_text())
            assert f"toys.of_{size}" in record["parts"]["code"]
    assert toys.calls == ["tell"]


def test_a_folder_of_runs_that_is_a_file_is_refused_before_anything_runs(toys: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file is not a folder"):
        toys.execute({"directory": str(tmp_path / "file" / "runs")})
    assert toys.calls == []
