"""Stages that need their inputs several times: their parts, in the plan, in the store and in the run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from slimline.pipeline.artifact import Artifact, Facts, write_json
from slimline.pipeline.errors import GateFailed, UserError
from slimline.pipeline.listing import read_runs
from slimline.pipeline.run import read_manifest
from slimline.pipeline.stage import RunRecord, Stage, stage
from slimline.pipeline.tasks import order_tasks
from tests.pipeline import conftest


@dataclass
class GroundConfig:
    depth: int = 1


@stage()
def ground(config: GroundConfig, out: Path) -> Facts:
    conftest.CALLS.append("ground")
    return {}


@stage()
def fit(config: conftest.FitConfig, out: Path, *, gather: Artifact, ground: Artifact) -> Facts:
    conftest.CALLS.append(f"fit {gather.facts['count']}")
    write_json(out / "metrics.json", {"score": gather.facts["count"]})
    return {"score": gather.facts["count"], "headline": f"fit       {gather.facts['count']}"}


@dataclass
class TallyConfig:
    parts: int = 3


def sizes(configs: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    if configs["gather"].size != 3:
        raise UserError("gather.size cannot be used with tally.", "Remove it.")
    return {f"part {n}": {"gather": replace(configs["gather"], size=10 + n)} for n in range(configs["tally"].parts)}


@stage(repeats=sizes)
def tally(config: TallyConfig, out: Path, *, gather: Sequence[Artifact], fit: Sequence[Artifact]) -> Facts:
    conftest.CALLS.append("tally")
    write_json(out / "metrics.json", {"sum": sum(one.facts["score"] for one in fit)})
    return {"scores": [one.facts["score"] for one in fit], "counts": [one.facts["count"] for one in gather]}


@dataclass
class SayConfig:
    also_fit: bool = False


@stage(cache=False, optional={"fit": lambda config: config.also_fit})
def say(config: SayConfig, out: Path, *, tally: Artifact, fit: Artifact | None, run: RunRecord) -> Facts:
    conftest.CALLS.append("say")
    return {"said": list(run.artifacts), "fit": fit.facts["score"] if fit else None}


@pytest.fixture
def tallying(toys: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, config in {"ground": GroundConfig, "tally": TallyConfig, "say": SayConfig}.items():
        monkeypatch.setitem(conftest.CONFIGS, name, config)
    toys.stages = {**toys.stages, "say": say, "ground": ground, "fit": fit, "tally": tally}
    return toys


def run(toys: Any, settings: Mapping[str, Any] | None = None, **stages: Any) -> Any:
    given = {"ground": {}, "tally": {}, "say": {}, "tell": None, **stages}
    return toys.execute({"targets": ["say"], **(settings or {})}, **given)


ALL = ["ground", "gather", "gather", "gather", "fit 10", "fit 11", "fit 12", "tally", "say"]


def test_each_part_has_its_own_stages_and_equal_ones_are_made_once(tallying: Any) -> None:
    made = run(tallying)
    assert tallying.calls == ALL
    names = [f"{stage} part {n}" for stage in ("gather", "fit") for n in range(3)]
    assert list(made.manifest["stages"]) == ["ground", *names, "tally", "say"]
    assert made.manifest["stages"]["tally"]["facts"] == {"scores": [10, 11, 12], "counts": [10, 11, 12]}
    assert made.manifest["stages"]["say"]["facts"] == {"said": ["ground", *names, "tally"], "fit": None}
    assert {name: entry.get("part") for name, entry in made.manifest["stages"].items() if name in names} == {
        name: name.partition(" ")[2] for name in names
    }


def test_a_second_run_makes_nothing_and_one_with_more_parts_only_those(tallying: Any) -> None:
    run(tallying)
    run(tallying)
    assert tallying.calls == ["say"]
    run(tallying, tally={"parts": 4})
    assert tallying.calls == ["gather", "fit 13", "tally", "say"]


def test_a_parts_artifacts_are_those_of_a_run_with_its_settings(tallying: Any) -> None:
    alone = run(tallying, {"targets": ["fit"]}, gather={"size": 11})
    together = run(tallying)
    assert tallying.calls == ["gather", "gather", "fit 10", "fit 12", "tally", "say"]
    key = together.manifest["stages"]["fit part 1"]["key"]
    assert key == alone.manifest["stages"]["fit"]["key"]


def test_a_part_that_fails_keeps_the_others_and_the_next_run_resumes(tallying: Any, tmp_path: Path) -> None:
    def failing(config: Any, out: Path, **inputs: Any) -> Facts:
        if inputs["gather"].facts["count"] == 11:
            raise OSError("the disk is gone")
        return fit(config, out, **inputs)

    tallying.stages["fit"] = Stage(**{**vars(fit), "function": failing})
    with pytest.raises(OSError, match="the disk is gone"):
        run(tallying)
    assert list(read_manifest(tmp_path / "runs/toy/v001")["stages"])[-1] == "fit part 0"
    tallying.stages["fit"] = fit
    run(tallying)
    assert tallying.calls == ["fit 11", "fit 12", "tally", "say"]


def test_what_parts_are_made_for_and_the_run_itself_are_apart(tallying: Any) -> None:
    made = run(tallying, say={"also_fit": True})
    assert tallying.calls == [*ALL[:-1], "gather", "fit 3", "say"]
    assert made.manifest["stages"]["say"]["facts"]["fit"] == 3
    links = made.path / "artifacts"
    assert sorted(path.name for path in links.iterdir()) == [
        *("fit", "gather", "ground", "part_0", "part_1", "part_2", "tally")
    ]
    assert json.loads((links / "part_2/fit/metrics.json").read_text()) == {"score": 12}
    assert json.loads((made.path / "metrics.json").read_text()) == {"sum": 33}, "not those of a part, nor of `fit`"
    [entry], _ = read_runs(made.path.parents[1])
    assert entry.artifacts_bytes == sum(
        path.stat().st_size for link in links.rglob("*") if link.is_symlink() for path in link.resolve().rglob("*")
    )


def test_a_plan_shows_each_part(tallying: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="slimline.pipeline"):
        run(tallying, {"plan": True}, tally={"parts": 2})
    lines = [record.getMessage() for record in caplog.records]
    assert [(line[:14].rstrip(), line[36:]) for line in lines] == [
        ("ground", "first time"),
        ("gather part 0", "first time"),
        ("gather part 1", "first time"),
        ("fit part 0", "input: gather, ground"),
        ("fit part 1", "input: gather, ground"),
        ("tally", "input: gather, fit"),
        ("say", "always"),
    ]


def test_the_lines_of_a_run_name_the_parts_and_the_summary_leaves_them_out(
    tallying: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="slimline.pipeline"):
        run(tallying, tally={"parts": 2}, say={"also_fit": True})
    lines = [record.getMessage() for record in caplog.records]
    assert len([line for line in lines if line.startswith("fit part 1    ran ")]) == 1
    assert [line for line in lines if line in ("fit       3", "fit       10", "fit       11")] == ["fit       3"]


def test_a_closed_gate_of_a_part_closes_the_stage_that_needs_it(tallying: Any) -> None:
    def gate(config: Any, artifact: Artifact) -> None:
        if artifact.facts["score"] == 11:
            raise GateFailed("too low")

    tallying.stages["fit"] = Stage(**{**vars(fit), "gate": gate})
    with pytest.raises(GateFailed):
        run(tallying)
    assert "tally" not in tallying.calls


def test_forced_stages_are_made_again_for_each_part(tallying: Any) -> None:
    run(tallying)
    run(tallying, {"force": ["gather"]})
    assert tallying.calls == ["gather", "gather", "gather", "say"]


def test_settings_that_contradict_the_parts_are_refused_before_anything_runs(tallying: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gather\.size cannot be used with tally"):
        run(tallying, gather={"size": 4})
    assert tallying.calls == []
    assert not list(tmp_path.iterdir())


def test_only_cached_stages_can_be_repeated(tallying: Any) -> None:
    def twice(configs: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        return {"a": {}, "b": {}}

    @stage(repeats=twice)
    def outer(config: TallyConfig, out: Path, *, tally: Sequence[Artifact]) -> Facts:
        return {}

    configs = {"gather": conftest.GatherConfig(), "ground": None, "fit": None, "tally": TallyConfig(), "outer": None}
    with pytest.raises(TypeError, match="stage tally cannot be repeated"):
        order_tasks({**tallying.stages, "outer": outer}, configs, ["outer"])


def test_repeats_and_inputs_of_parts_are_declared_together() -> None:
    def several(config: TallyConfig, out: Path, *, fit: Sequence[Artifact]) -> Facts:
        return {}

    def one(config: TallyConfig, out: Path, *, fit: Artifact) -> Facts:
        return {}

    for function, repeats in ((several, None), (one, sizes)):
        with pytest.raises(TypeError, match="if and only if `repeats` names its parts"):
            stage(repeats=repeats)(function)
