from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slimline.pipeline.artifact import Artifact
from slimline.pipeline.errors import UserError
from slimline.pipeline.plan import Step, why
from slimline.pipeline.tasks import order_tasks

Lines = Callable[..., list[str]]


def test_a_plan_without_cached_outputs(toys: Any, plan_lines: Lines) -> None:
    assert plan_lines() == [
        "gather    runs    2332d0d172ab  first time",
        "fit       runs                  input: gather",
        "tell      runs                  always",
    ]


def test_a_plan_with_all_outputs_cached(toys: Any, plan_lines: Lines) -> None:
    toys.execute()
    assert plan_lines() == [
        "gather    cached  2332d0d172ab",
        "fit       cached  68eeb59eb7f9",
        "tell      runs                  always",
    ]


def test_a_plan_after_one_field_changed(toys: Any, plan_lines: Lines) -> None:
    toys.execute()
    assert plan_lines(fit={"optimizer": {"learning_rate": 0.003}}) == [
        "gather    cached  2332d0d172ab",
        "fit       runs    e4689f773954  config: optimizer.learning_rate 0.01 -> 0.003",
        "tell      runs                  always",
    ]


def test_a_plan_after_code_changed(toys: Any, plan_lines: Lines) -> None:
    toys.execute()
    toys.code["gather"] = {"toys.gather": "edited", "toys.nouns": "new"}
    assert plan_lines() == [
        "gather    runs    b1dd90e78652  code: toys.gather; code: toys.nouns",
        "fit       runs                  input: gather",
        "tell      runs                  always",
    ]


def test_a_plan_after_an_input_changed(toys: Any, plan_lines: Lines) -> None:
    toys.execute()
    toys.execute({"targets": ["gather"]}, gather={"size": 4})
    assert plan_lines(gather={"size": 4}) == [
        "gather    cached  f7c82852a386",
        "fit       runs    e018e0715d55  input: gather",
        "tell      runs                  always",
    ]


def test_a_plan_after_a_version_changed(toys: Any, plan_lines: Lines) -> None:
    toys.execute()
    toys.versions = {"numpy": "2.2.0", "pyarrow": "20.0"}
    assert plan_lines() == [
        "gather    runs    e21f19636ec5  version: numpy 2.1.0 -> 2.2.0; version: pyarrow absent -> 20.0",
        "fit       runs                  input: gather",
        "tell      runs                  always",
    ]


def test_a_plan_after_the_photos_changed(toys: Any, plan_lines: Lines, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("a")
    (tmp_path / "b.jpg").write_text("b")
    toys.execute(gather={"images": str(tmp_path / "a.jpg")})
    assert plan_lines(gather={"images": str(tmp_path / "b.jpg")}) == [
        "gather    runs    9e2d6b385456  config: images ca978112… -> 3e23e816…",
        "fit       runs                  input: gather",
        "tell      runs                  always",
    ]


def test_a_plan_after_many_changes_names_three(toys: Any, plan_lines: Lines) -> None:
    toys.execute({"targets": ["fit"]})
    changed = {"optimizer": {"learning_rate": 1.0, "momentum": 0.0}, "epochs": 3}
    toys.versions = {"numpy": "2.2.0"}
    toys.execute({"targets": ["gather"]})
    assert plan_lines({"targets": ["fit"]}, fit=changed) == [
        "gather    cached  4aff1e44b455",
        "fit       runs    07b8528170d5  config: epochs 2 -> 3; config: optimizer.learning_rate 0.01 -> 1.0; "
        "config: optimizer.momentum 0.9 -> 0.0; and 1 more",
    ]


def test_a_plan_shows_values_that_need_work_to_resolve(toys: Any, plan_lines: Lines) -> None:
    assert plan_lines(gather={"remote": True}) == [
        "gather    runs                  30 MB would be downloaded",
        "fit       runs                  input: gather",
        "tell      runs                  always",
    ]


def test_a_plan_calls_no_stage_and_makes_no_run(toys: Any, plan_lines: Lines, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("a")
    plan_lines(gather={"images": str(tmp_path / "a.jpg")})
    assert toys.calls == []
    assert not (tmp_path / "runs" / "toy").exists()
    assert not list(tmp_path.glob("runs/store/*/"))


def test_an_untracked_field_does_not_change_the_plan(toys: Any, plan_lines: Lines) -> None:
    toys.execute()
    assert plan_lines(gather={"threads": 8}) == plan_lines()


def test_an_optional_input_is_planned_if_its_predicate_is_true(toys: Any, plan_lines: Lines) -> None:
    names = [line.split()[0] for line in plan_lines(polish={})]
    assert names == ["gather", "fit", "tell"]
    names = [line.split()[0] for line in plan_lines(polish={}, fit={"polished": True})]
    assert names == ["gather", "polish", "fit", "tell"]


def test_a_stage_without_a_config_does_not_run(toys: Any, plan_lines: Lines) -> None:
    names = [line.split()[0] for line in plan_lines({"targets": ["fit"]}, tell=None)]
    assert names == ["gather", "fit"]


def test_a_needed_stage_without_a_config_is_a_user_error(toys: Any) -> None:
    with pytest.raises(UserError, match="fit needs the stage polish, which this experiment does not have"):
        toys.execute(fit={"polished": True})
    assert toys.calls == []


def test_only_what_the_targets_need_is_planned(toys: Any, plan_lines: Lines) -> None:
    assert [line.split()[0] for line in plan_lines({"targets": ["gather"]})] == ["gather"]
    assert [line.split()[0] for line in plan_lines({"targets": ["polish", "gather"]}, polish={})] == [
        "gather",
        "polish",
    ]


def test_stages_that_are_never_cached_come_last(toys: Any) -> None:
    config = {"gather": None, "polish": None, "fit": toys.config().fit, "tell": None}
    ordered = order_tasks(toys.stages, config, ["tell", "polish"])
    assert [stage.name for stage in ordered] == ["gather", "fit", "polish", "tell"]


def test_a_forced_stage_runs_although_it_is_cached() -> None:
    assert Step("fit", "0123456789abcdef", "forced: run.force names it").line() == (
        "fit       runs    0123456789ab  forced: run.force names it"
    )


def artifact_of(config: dict[str, Any], **parts: Any) -> Artifact:
    return Artifact("fit", "k", 1, Path("/a"), "d", 1.0, {}, {"config": config, **parts})


def test_the_nearest_earlier_artifact_is_compared_with() -> None:
    earlier = [artifact_of({"a": 1, "b": 2}), artifact_of({"a": 9, "b": 3}), artifact_of({"a": 8, "b": 3})]
    assert why({"config": {"a": 1, "b": 3}}, earlier) == "config: b 2 -> 3"
    assert why({"config": {"a": 7, "b": 3}}, earlier) == "config: a 9 -> 7"


def test_an_added_or_removed_field_is_named() -> None:
    assert why({"config": {"a": 1}}, [artifact_of({})]) == "config: a absent -> 1"
    assert why({"config": {}}, [artifact_of({"a": None})]) == "config: a None -> absent"


def test_another_store_format_is_a_reason() -> None:
    assert why({"config": {}, "format": 2}, [artifact_of({}, format=1)]) == "store format 1 -> 2"


@pytest.mark.parametrize(
    ("before", "now"),
    [({"a": 1}, {"a": 1.0}), ({"a": True}, {"a": 1}), ({}, {"a": {}}), ({"a": {}}, {"a": {"b": {}}})],
    ids=str,
)
def test_a_key_that_differs_always_has_a_reason(before: dict[str, Any], now: dict[str, Any]) -> None:
    assert why({"config": now}, [artifact_of(before)]).startswith("config: a")
