"""Stages that follow others: they are part of a run without being its target."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from slimline.pipeline.artifact import Artifact, Facts, write_text
from slimline.pipeline.run import read_manifest
from slimline.pipeline.stage import stage
from slimline.pipeline.tasks import order_tasks
from tests.pipeline import conftest


@dataclass
class ShowConfig:
    title: str = "shown"


@stage(cache=False, follows=("gather", "fit"))
def show(config: ShowConfig, out: Path, *, gather: Artifact, fit: Artifact | None) -> Facts:
    said = f"{gather.facts['count']} {fit.facts['score'] if fit else 'nothing yet'}\n"
    path = out / "shown.txt"
    write_text(path, (path.read_text() if path.exists() else "") + said)
    return {}


@pytest.fixture
def showing(toys: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setitem(conftest.CONFIGS, "show", ShowConfig)
    toys.stages = {"show": show, **toys.stages}
    return toys


def shown(folder: Path) -> str:
    return (folder / "shown.txt").read_text()


def test_a_follower_runs_after_each_stage_that_it_names(showing: Any) -> None:
    run = showing.execute(show={})
    assert shown(run.path) == "3 nothing yet\n3 0.75\n"
    assert list(run.manifest["stages"]) == ["gather", "show", "fit", "tell"]


def test_a_follower_runs_in_a_run_of_the_first_stage_alone(showing: Any) -> None:
    run = showing.execute({"targets": ["gather"]}, show={})
    assert shown(run.path) == "3 nothing yet\n"


def test_a_follower_also_follows_cached_stages(showing: Any) -> None:
    showing.execute(show={})
    assert shown(showing.execute(show={}).path) == "3 nothing yet\n3 0.75\n"
    assert showing.calls == ["tell"]


def test_a_follower_has_run_when_a_later_stage_fails(showing: Any, tmp_path: Path) -> None:
    @stage()
    def fit(config: conftest.FitConfig, out: Path, *, gather: Artifact) -> Facts:
        raise OSError("the disk is gone")

    showing.stages["fit"] = fit
    with pytest.raises(OSError, match="disk"):
        showing.execute(show={})
    folder = tmp_path / "runs/toy/v001"
    assert shown(folder) == "3 nothing yet\n"
    assert list(read_manifest(folder)["stages"]) == ["gather", "show"]


def test_a_follower_without_a_config_does_not_run(showing: Any) -> None:
    run = showing.execute()
    assert not (run.path / "shown.txt").exists()


def test_a_follower_does_not_run_if_none_of_its_stages_does(showing: Any) -> None:
    @stage()
    def alone(config: ShowConfig, out: Path) -> Facts:
        return {}

    stages = {**showing.stages, "alone": alone}
    assert [one.name for one in order_tasks(stages, {"alone": None, "show": None}, ["alone"])] == ["alone"]


def test_a_follower_can_be_named_as_a_target(showing: Any) -> None:
    run = showing.execute({"targets": ["show"]}, show={})
    assert shown(run.path) == "3 nothing yet\n"
    assert list(run.manifest["stages"]) == ["gather", "show"]


def test_a_plan_lists_a_follower_once(showing: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="slimline.pipeline"):
        showing.execute({"plan": True}, show={})
    names = [record.getMessage().split()[0] for record in caplog.records]
    assert names == ["gather", "show", "fit", "tell"]


def test_a_follower_that_is_cached_or_has_predicates_is_refused() -> None:
    def other(config: ShowConfig, out: Path, *, gather: Artifact | None) -> Facts:
        return {}

    with pytest.raises(TypeError, match="stage other follows others"):
        stage(follows=("gather",))(other)
    with pytest.raises(TypeError, match="stage other follows others"):
        stage(cache=False, follows=("gather",), optional={"gather": lambda _: True})(other)


def test_the_recorded_config_has_a_follower_only_if_it_ran(showing: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    @stage()
    def alone(config: ShowConfig, out: Path) -> Facts:
        return {}

    showing.stages["alone"] = alone
    monkeypatch.setitem(conftest.CONFIGS, "alone", ShowConfig)
    ran = showing.execute(show={}, alone={})
    apart = showing.execute({"targets": ["alone"]}, show={}, alone={})
    assert "show" in OmegaConf.load(ran.path / "config.yaml")
    assert set(OmegaConf.load(apart.path / "config.yaml")) == {"run", "gather", "fit", "tell", "alone"}
