"""Gates, work that is kept in part, the lines that a run prints, exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from slimline.pipeline.artifact import Artifact, Facts, write_text
from slimline.pipeline.errors import GateFailed, HelperLost, UserError, exit_code
from slimline.pipeline.run import read_manifest
from slimline.pipeline.run_lines import WIDTH, stage_line
from slimline.pipeline.stage import stage, untracked


@dataclass
class MeasureConfig:
    at_least: float = untracked(0.0)


def check(config: MeasureConfig, artifact: Artifact) -> None:
    if artifact.facts["score"] < config.at_least:
        raise GateFailed(
            f"score {artifact.facts['score']} is below measure.at_least={config.at_least}.", "Train longer."
        )


@stage(gate=check)
def measure(config: MeasureConfig, out: Path, *, fit: Artifact) -> Facts:
    write_text(out / "metrics.json", json.dumps({"score": fit.facts["score"]}))
    return {"score": fit.facts["score"]}


@dataclass
class PackConfig:
    broken: bool = False


@stage()
def pack(config: PackConfig, out: Path, *, measure: Artifact) -> Facts:
    write_text(out / "packed.txt", "packed")
    return {"failures": ["onnx was left out: it differs."] if config.broken else []}


@dataclass
class ShowConfig:
    pass


@stage(cache=False, optional={"pack": lambda config: True})
def show(config: ShowConfig, out: Path, *, measure: Artifact, pack: Artifact | None) -> Facts:
    write_text(out / "page.html", f"score {measure.facts['score']}, packed: {pack is not None}")
    return {}


@pytest.fixture
def gated(toys: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    from tests.pipeline import conftest

    configs = {"measure": MeasureConfig, "pack": PackConfig, "show": ShowConfig}
    for name, config in configs.items():
        monkeypatch.setitem(conftest.CONFIGS, name, config)
    toys.stages.update({one.name: one for one in (measure, pack, show)})
    toys.code.update({name: {f"toys.{name}": name} for name in configs})

    def run(at_least: float, **stages: Any) -> Any:
        given: dict[str, Any] = {"measure": {"at_least": at_least}, "pack": {}, "show": {}, "tell": None, **stages}
        return toys.execute({"targets": ["pack", "show"]}, **given)

    return run


def test_a_closed_gate_keeps_what_was_measured_and_runs_nothing_that_builds_on_it(gated: Any, tmp_path: Path) -> None:
    for version in ("v001", "v002"):  # the same command answers the same again, though everything is cached
        with pytest.raises(GateFailed, match=r"score 0.75 is below measure\.at_least=0\.9"):
            gated(0.9)
        path = tmp_path / "runs/toy" / version
        manifest = read_manifest(path)
        assert manifest["status"] == "failed" and "is below" in manifest["error"]
        assert list(manifest["stages"]) == ["gather", "fit", "measure", "show"]
        assert manifest["stages"]["measure"]["gate"] == manifest["error"]
        assert json.loads((path / "metrics.json").read_text()) == {"score": 0.75}
        assert (path / "page.html").read_text() == "score 0.75, packed: False"
        assert not (path.parent / "latest").is_symlink()
    run = gated(0.7)
    assert (run.path / "page.html").read_text() == "score 0.75, packed: True"
    assert [entry["cached"] for entry in run.manifest["stages"].values()] == [True, True, True, False, False]
    assert (run.path.parent / "latest").readlink() == Path("v003")


def test_what_failed_in_part_is_told_also_when_it_is_cached(gated: Any) -> None:
    for _ in range(2):
        run = gated(0.0, pack={"broken": True})
        assert run.failures == ["onnx was left out: it differs."]
        assert read_manifest(run.path)["status"] == "completed"
    assert gated(0.0).failures == []


def test_the_last_lines_name_the_files(
    gated: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    with caplog.at_level("INFO", logger="slimline.pipeline"):
        gated(0.0)
    lines = [record.getMessage() for record in caplog.records]
    assert lines[-3].startswith("done in ")
    assert lines[-2:] == [
        "  runs/toy/v001/: metrics.json, page.html",
        "  runs/toy/v001/artifacts/pack/: packed.txt",
    ]


@pytest.mark.parametrize("count", [0, 1, 5, 40])
def test_a_stage_line_has_at_most_100_characters(count: int) -> None:
    facts: Facts = {f"fact_{number}": 1234.5678 for number in range(count)}
    line = stage_line("ingest", "ran", "0123456789abcdef", 1234.5, facts)
    assert len(line) <= WIDTH
    assert line.startswith("ingest    ran     0123456789ab  1234.5 s")
    assert line.count("fact_") == min(count, 4)


def test_no_fact_is_shown_as_a_negative_zero() -> None:
    assert stage_line("train", "ran", "k", 1.0, {"gap": -0.0, "loss": 0.0}).endswith("  gap 0, loss 0")


def test_a_stage_line_shows_the_most_wanted_facts() -> None:
    facts = {"a": 1, "b": 2.5, "c": "text", "d": [1], "headline": "x"}
    assert stage_line("train", "ran", "k", 1.0, facts, ("c", "b", "d", "absent")).endswith("1.0 s  c text, b 2.5")


@pytest.mark.parametrize(
    ("errors", "code"),
    [
        ([], 0),
        ([UserError("x")], 2),
        ([GateFailed("x")], 3),
        ([HelperLost("x")], 75),
        ([GateFailed("x"), HelperLost("x")], 75),
        ([GateFailed("x"), UserError("x"), HelperLost("x")], 2),
    ],
)
def test_one_exit_code_stands_for_all_errors(errors: list[UserError], code: int) -> None:
    assert exit_code(errors) == code


GATE = """

def check(config, artifact):
    from slimline.pipeline.errors import GateFailed
    if artifact.facts["validation_top1"] < 0.4:
        raise GateFailed("train.rate is too low.", "Raise it.")

from dataclasses import replace
STAGES["train"] = replace(train, gate=check)
"""


def test_a_closed_gate_ends_with_code_3(run: Callable[..., Any], toy_program: Any, tmp_path: Path) -> None:
    with (tmp_path / "toybox/__init__.py").open("a") as file:
        file.write(GATE)
    assert run(program=toy_program)[0] == 0
    for _ in range(2):
        code, output, errors, _ = run("train.rate=0.1", program=toy_program)
        assert (code, errors) == (3, ["train.rate is too low.", "Raise it."])
        assert any(line.startswith("done in") for line in output)
    assert (tmp_path / "runs/toy/latest").readlink() == Path("v001")
