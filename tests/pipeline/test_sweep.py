from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from slimline.pipeline.sweep import TOKEN, Point, begin_sweep, own_overrides, sweep_points, sweep_rows, sweep_table

from slimline.pipeline.artifact import write_json
from slimline.pipeline.errors import UserError


def write_point(folder: Path, version: str, override: str, facts: dict[str, Any] | None, **others: Any) -> None:
    (folder / version).mkdir(parents=True)
    manifest = {
        "status": "completed" if facts is not None else "failed",
        "overrides": ["+experiment=toy", override],
        "sweep": "s1",
        "seconds": 2.5,
        "stages": {} if facts is None else {"fit": {"facts": facts}},
    }
    write_json(folder / version / "manifest.json", {**manifest, **others})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_point(tmp_path, "v001", "fit.rate=0.1", {"top1": 0.5, "loss": 2.0, "kind": "linear"})
    write_point(tmp_path, "v002", "fit.rate=9", None)
    write_point(tmp_path, "v003", "fit.rate=0.2", {"top1": 0.75, "loss": 3.0, "kind": "linear"})
    write_point(tmp_path, "v004", "fit.rate=0.3", {"top1": 0.25, "loss": 1.0, "kind": "linear"}, seconds=61.0)
    write_point(tmp_path, "v005", "fit.rate=0.3", {"top1": 1.0}, sweep="another")
    return tmp_path


def rates(points: list[Point]) -> list[str]:
    return [point.overrides[-1].partition("=")[2] for point in points]


def test_points_come_best_first_and_failed_last(folder: Path) -> None:
    points = sweep_points(folder, "s1", "fit", "top1", maximize=True)
    assert rates(points) == ["0.2", "0.1", "0.3", "9"]
    assert [point.score for point in points] == [0.75, 0.5, 0.25, None]
    assert points[0].path == folder / "v003"


def test_the_smallest_score_can_be_the_best(folder: Path) -> None:
    points = sweep_points(folder, "s1", "fit", "loss", maximize=False)
    assert rates(points) == ["0.3", "0.1", "0.2", "9"]


@pytest.mark.parametrize("maximize", [True, False])
def test_a_score_below_zero_is_not_a_failure(tmp_path: Path, maximize: bool) -> None:
    write_point(tmp_path, "v001", "a=1", {"score": -2.0})
    write_point(tmp_path, "v002", "a=2", None)
    write_point(tmp_path, "v003", "a=3", {"score": 0})
    points = sweep_points(tmp_path, "s1", "fit", "score", maximize)
    assert rates(points) == (["3", "1", "2"] if maximize else ["1", "3", "2"])


@pytest.mark.parametrize("maximize", [True, False])
def test_a_score_that_is_not_a_number_is_never_the_best(tmp_path: Path, maximize: bool) -> None:
    for version, score in enumerate([float("nan"), 0.5, float("nan"), 0.75], 1):
        write_point(tmp_path, f"v00{version}", f"a={version}", {"score": score})
    points = sweep_points(tmp_path, "s1", "fit", "score", maximize)
    assert rates(points) == (["4", "2", "1", "3"] if maximize else ["2", "4", "1", "3"])


def test_points_of_other_sweeps_and_runs_do_not_count(folder: Path) -> None:
    write_point(folder, "v006", "fit.rate=0.3", {"top1": 1.0}, sweep=None)
    assert rates(sweep_points(folder, "another", "fit", "top1", maximize=True)) == ["0.3"]
    assert len(sweep_points(folder, "s1", "fit", "top1", maximize=True)) == 4
    assert sweep_points(folder, "s2", "fit", "top1", maximize=True) == []
    assert sweep_points(folder / "nowhere", "s1", "fit", "top1", maximize=True) == []


def test_a_point_that_was_killed_is_a_failed_one(folder: Path) -> None:
    write_point(folder, "v006", "fit.rate=0.4", {"top1": 0.9}, status="running")
    assert rates(sweep_points(folder, "s1", "fit", "top1", maximize=True))[-2:] == ["9", "0.4"]


@pytest.mark.parametrize("metric", ["top2", "kind"])
def test_a_metric_that_is_not_a_numeric_fact_is_a_user_error(folder: Path, metric: str) -> None:
    with pytest.raises(UserError) as caught:
        sweep_points(folder, "s1", "fit", metric, maximize=True)
    assert str(caught.value).splitlines() == [
        f"run.sweep.metric={metric} is not a numeric fact of fit.",
        "Its numeric facts are: top1, loss.",
    ]


def test_the_table_of_a_sweep(folder: Path) -> None:
    points = sweep_points(folder, "s1", "fit", "top1", maximize=True)
    assert sweep_table(points, "top1").splitlines() == [
        "rank    top1  seconds  point         run",
        "   1  0.7500      2.5  fit.rate=0.2  v003",
        "   2  0.5000      2.5  fit.rate=0.1  v001",
        "   3  0.2500     61.0  fit.rate=0.3  v004",
        "   4  failed      2.5  fit.rate=9    v002",
    ]


def test_the_table_lines_up_under_a_long_metric(folder: Path) -> None:
    points = [Point(["a=1"], 0.5, Path("v001"), 1.0), Point(["a=2"], 0.25, Path("v002"), 1.0)]
    lines = sweep_table(points, "validation_balanced_accuracy").splitlines()
    assert {line.index(part) for line, part in zip(lines, ["point", "a=1", "a=2"], strict=True)} == {
        lines[0].index("point")
    }


def test_a_metric_and_columns_may_be_other_stages_facts(tmp_path: Path) -> None:
    for version, top1, parameters in (("v001", 0.25, 3_413_024), ("v002", 0.5, 812)):
        stages = {"fit": {"facts": {"top1": top1, "rate": 1234.5}}, "base": {"facts": {"parameters": parameters}}}
        write_point(tmp_path, version, f"base={version}", {}, stages={**stages, "export": {"facts": {"size_mb": 4.5}}})
    write_point(tmp_path, "v003", "base=v003", None)
    columns = ["base.parameters", "fit.rate", "export.size_mb"]
    points = sweep_points(tmp_path, "s1", "export", "fit.top1", True, columns)
    assert sweep_table(points, "fit.top1").splitlines() == [
        "rank    top1  parameters   rate  size_mb  seconds  point      run",
        "   1  0.5000         812  1,234      4.5      2.5  base=v002  v002",
        "   2  0.2500        3.4M  1,234      4.5      2.5  base=v001  v001",
        "   3  failed                                  2.5  base=v003  v003",
    ]
    assert sweep_rows(points, "fit.top1")[1]["base.parameters"] == 3_413_024
    with pytest.raises(
        UserError,
        match=r"columns names fit.loss, which is not a fact of any stage that ran\."
        r"\nThe facts of fit are: fit.top1, fit.rate\.",
    ):
        sweep_points(tmp_path, "s1", "export", "fit.top1", True, ["fit.loss"])
    with pytest.raises(
        UserError, match=r"metric=tune.top1 is not a numeric fact of tune\.\n.*stages that ran are: fit, base, export"
    ):
        sweep_points(tmp_path, "s1", "export", "tune.top1", True)


def test_facts_with_the_same_name_are_distinguished_by_their_stage() -> None:
    points = [Point(["a=1"], 0.5, Path("v001"), 1.0, {"test.top1": 0.25, "fit.rate": 3})]
    assert sweep_table(points, "fit.top1").splitlines()[0].split()[:4] == ["rank", "fit.top1", "test.top1", "rate"]


def test_a_single_point_is_shown_with_all_its_overrides() -> None:
    assert sweep_table([Point(["+experiment=toy", "a=1"], 0.5, Path("v001"), 1.0)], "top1").splitlines() == [
        "rank    top1  seconds  point                run",
        "   1  0.5000      1.0  +experiment=toy a=1  v001",
    ]


def test_overrides_that_all_points_share_are_left_out() -> None:
    points = [Point(["x=1", "a=1", "b=1"], None, Path(), 0.0), Point(["x=1", "a=1", "b=2"], None, Path(), 0.0)]
    assert own_overrides(points) == [["b=1"], ["b=2"]]


def test_the_rows_for_the_winners_manifest() -> None:
    points = [Point(["x=1", "a=1"], 0.5, Path("toy/v002"), 1.5), Point(["x=1", "a=2"], None, Path("toy/v001"), 2.0)]
    assert sweep_rows(points, "top1") == [
        {"overrides": ["a=1"], "top1": 0.5, "seconds": 1.5, "run": "v002"},
        {"overrides": ["a=2"], "top1": None, "seconds": 2.0, "run": "v001"},
    ]


def test_each_sweep_has_its_own_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN, "s0")
    first, second = begin_sweep(), begin_sweep()
    assert len({"s0", first, second}) == 3
    assert os.environ[TOKEN] == second
