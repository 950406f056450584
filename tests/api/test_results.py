"""Existing runs: their content, also for runs of earlier versions, and the errors for paths that are not runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from omegaconf.errors import ReadonlyConfigError

import slimline
from slimline.pipeline.artifact import write_json

CLASSES = ["label", "daisy", "score"]
PROBABILITIES = [[0.5, 0.25, 0.25], [0.125, 0.75, 0.125]]


def write_run(path: Path, *, evaluated: bool = True, status: str = "completed") -> Path:
    """Write a run's directory as the first version of Slimline wrote it."""
    stages = {"ingest": {"cached": False, "seconds": 1.5, "facts": {"photos": 3}}}
    path.mkdir(parents=True)
    (path / "config.yaml").write_text("run:\n  name: flowers\ntrain:\n  epochs: 3\n")
    write_json(path / "metrics.json", {"top1": 0.5} if evaluated else {})
    if evaluated:
        stages["evaluate"] = {"cached": True, "seconds": 0.0, "facts": {"top1": 0.5}}
        folder = path / "artifacts/evaluate"
        folder.mkdir(parents=True)
        write_json(folder / "metrics.json", {"top1": 0.5, "per_class": {name: {} for name in CLASSES}})
        table = {
            "filename": ["daisy/1.jpg", "label/2.jpg"],
            "sha256": ["ab", "cd"],
            "label": ["daisy", "label"],
            "predicted": ["label", "daisy"],
            "score": [0.5, 0.75],
            "probabilities": pa.array(PROBABILITIES, pa.list_(pa.float64(), 3)),
        }
        pq.write_table(pa.table(table), folder / "predictions.parquet")
    write_json(path / "manifest.json", {"status": status, "overrides": [], "stages": stages})
    return path


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("flowers/v001", "flowers/v002", "leaves/v001")):
        write_run(tmp_path / "runs" / name)
        os.utime(tmp_path / "runs" / name / "manifest.json", (number, number))
    (tmp_path / "runs/flowers/latest").symlink_to("v002")
    (tmp_path / "runs/store/ingest").mkdir(parents=True)
    return tmp_path / "runs"


@pytest.fixture
def without_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)


def test_a_run_holds_metrics_facts_config_and_manifest(runs: Path) -> None:
    run = slimline.load("runs/flowers/v001")
    assert run.path == runs / "flowers/v001"
    assert run.metrics == {"top1": 0.5}
    assert run.facts == {"ingest": {"photos": 3}, "evaluate": {"top1": 0.5}}
    assert run.config.train.epochs == run.config["train"]["epochs"] == 3
    assert run.manifest["stages"]["evaluate"]["cached"] is True
    assert repr(run) == f"Run('{runs}/flowers/v001', completed)"


def test_a_config_is_read_only(runs: Path) -> None:
    with pytest.raises(ReadonlyConfigError):
        slimline.load("runs/flowers/v001").config.train.epochs = 4


def test_a_loaded_run_does_not_change_when_latest_does(runs: Path) -> None:
    run = slimline.load(runs / "flowers/latest")
    (runs / "flowers/latest").unlink()
    (runs / "flowers/latest").symlink_to("v001")
    assert run.path == runs / "flowers/v002"


def test_an_unfinished_run_shows_its_progress(runs: Path) -> None:
    run = slimline.load(write_run(runs / "flowers/v003", status="running"))
    assert run.manifest["status"] == "running"
    write_json(run.path / "manifest.json", {**run.manifest, "status": "failed"})
    assert run.manifest["status"] == "failed"


def test_each_class_has_a_column_whatever_its_name(runs: Path, without_pandas: None) -> None:
    table = slimline.load("runs/flowers/v001").predictions()
    assert isinstance(table, pa.Table)
    assert table.to_pydict() == {
        "path": ["daisy/1.jpg", "label/2.jpg"],
        "sha256": ["ab", "cd"],
        "label": ["daisy", "label"],
        "predicted": ["label", "daisy"],
        "score": [0.5, 0.75],
        "probability_label": [0.5, 0.125],
        "probability_daisy": [0.25, 0.75],
        "probability_score": [0.25, 0.125],
    }


def test_predictions_of_a_cross_validation_are_those_of_all_folds(runs: Path, without_pandas: None) -> None:
    run = runs / "flowers/v001"
    folder = run / "artifacts/crossval"
    folder.mkdir()
    table = pq.read_table(run / "artifacts/evaluate/predictions.parquet")
    pq.write_table(
        pa.concat_tables([table, table]).append_column("fold", pa.array([0, 0, 1, 1])), folder / "predictions.parquet"
    )
    write_json(folder / "metrics.json", {"per_class": {name: {} for name in CLASSES}})
    found = slimline.load(run).predictions()
    assert found.column_names[:6] == ["path", "sha256", "label", "predicted", "score", "fold"]
    assert found["fold"].to_pylist() == [0, 0, 1, 1]
    assert found["probability_daisy"].to_pylist() == [0.25, 0.75] * 2


def test_with_pandas_predictions_are_a_data_frame(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pandas = pytest.importorskip("pandas")
    frame = slimline.load("runs/flowers/v001").predictions()
    assert isinstance(frame, pandas.DataFrame)
    assert frame["probability_score"].tolist() == [0.25, 0.125]


def test_missing_predictions_or_model_are_errors_that_list_the_stages(runs: Path) -> None:
    run = slimline.load(write_run(runs / "flowers/v003", evaluated=False))
    with pytest.raises(slimline.UserError, match=r"no predictions: its stages are ingest\."):
        run.predictions()
    with pytest.raises(slimline.UserError, match=r"no model that can classify photos: its stages are ingest\."):
        run.classify(__file__)


def test_nothing_to_classify_is_an_empty_list(runs: Path) -> None:
    assert slimline.load("runs/flowers/v001").classify([]) == []


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("runs/flowers", r"Load one of: runs/flowers/latest, runs/flowers/v002, runs/flowers/v001\."),
        ("runs/flowers/v009", r"Load one of: runs/flowers/latest, runs/flowers/v002, runs/flowers/v001\."),
        ("runs/leaves/latest", r"Load one of: runs/leaves/v001\."),
        ("runs/flwers/latest", r"runs/flowers/latest, runs/leaves/v001, runs/flowers/v002, runs/flowers/v001\."),
        ("runs", r"runs/flowers/latest, runs/leaves/v001, runs/flowers/v002"),
        ("runs/flowers/v001/config.yaml", r"Load one of: .*runs/flowers/v001\."),
        ("elsewhere", r"Load one of: runs/flowers/latest, runs/leaves/v001"),
        ("/nowhere/at/all", r"Pass the directory of a run, such as runs/flowers/latest"),
    ],
)
def test_a_path_that_is_not_a_run_is_an_error_that_lists_runs_nearby(runs: Path, path: str, said: str) -> None:
    with pytest.raises(slimline.UserError, match=said):
        slimline.load(path)


def test_only_some_of_many_runs_are_listed(runs: Path) -> None:
    for number in range(10, 30):
        write_run(runs / f"many/v{number:03}", evaluated=False)
    with pytest.raises(slimline.UserError, match=r"and 10 more\.$"):
        slimline.load("runs/many")
