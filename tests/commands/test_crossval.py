"""The command of a cross-validation, end to end, on a few drawn flowers."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import slimline
from tests.command_server import ROOT, Done, run_python

pytestmark = pytest.mark.slow
SMALL = ("ingest.origin=drawn", "ingest.drawn_per_class=14", "train.epochs=4", "ingest.split.folds=2")


def pipeline(folder: Path, *arguments: str) -> Done:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return run_python(
        "-m", "pipeline", "+experiment=crossval", *SMALL, *arguments, folder=folder, environment=environment
    )


@pytest.fixture(scope="module")
def validated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """Run a cross-validation that also trains a model on all flowers; return its folder and its lines."""
    folder = tmp_path_factory.mktemp("crossval")
    done = pipeline(folder, "crossval.train_all=true")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr + done.stdout
    return folder / "runs/crossval/v001", done.stdout.splitlines()


def test_each_flower_is_tested_once_and_the_headline_says_what_was_measured(validated: tuple[Path, list[str]]) -> None:
    run, lines = validated
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    rows = pq.read_table(run / "artifacts/crossval/predictions.parquet").to_pylist()
    assert max(Counter(row["sha256"] for row in rows).values()) == 1
    assert metrics["count"] == len(rows) == sum(map(sum, metrics["confusion_matrix"]))
    assert metrics["top1"] == sum(row["label"] == row["predicted"] for row in rows) / len(rows)
    for fold, one in enumerate(metrics["folds"]):
        own = pq.read_table(run / f"artifacts/fold_{fold}/evaluate/predictions.parquet").to_pylist()
        assert [{**row, "fold": fold} for row in own] == [row for row in rows if row["fold"] == fold]
        seen = pq.read_table(run / f"artifacts/fold_{fold}/ingest/index.parquet").to_pylist()
        assert one["train"] == sum(row["split"] == "train" for row in seen)
        assert one["validation_photos"] == sum(row["split"] == "validation" for row in seen)
    said = next(line for line in lines if line.startswith("crossval  top-1"))
    assert re.match(
        r"crossval  top-1 \d+\.\d% of DRAWN flowers, not photos \(.*\), 7\d? images, each tested once", said
    )
    assert sum(line.startswith("evaluate fold 1 ran ") for line in lines) == 1


def test_the_model_for_use_is_trained_on_all_flowers_and_its_card_says_estimate(
    validated: tuple[Path, list[str]],
) -> None:
    run, lines = validated
    facts = json.loads((run / "manifest.json").read_text(encoding="utf-8"))["stages"]
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    assert facts["ingest"]["facts"]["test"] == 0
    assert facts["ingest"]["facts"]["photos"] == metrics["count"]
    assert facts["evaluate"]["facts"]["split"] == "validation"
    card = (run / "model_card.md").read_text(encoding="utf-8")
    assert "has no test photos of its own. The figures are an estimate by 2-fold cross-validation" in card
    assert f"Of {metrics['count']} photos, each tested once, {metrics['top1']:.1%} are classified correctly" in card
    assert "photos trained the model" not in card
    assert "top-1 on validation photos" in card
    assert not re.search(r"\d test photos,", card)
    assert not [line for line in lines if line.startswith("test ")]


def test_the_page_is_self_contained_and_shows_the_folds(validated: tuple[Path, list[str]]) -> None:
    page = (validated[0] / "crossval.html").read_text(encoding="utf-8")
    assert re.search(r"<h1>\d+\.\d% of \d+ drawn flowers classified correctly in 2-fold cross-validation</h1>", page)
    assert not re.search(r"""(src|href)=["']https?:""", page)
    for title in ("Folds", "Confusion matrix", "Metrics per class", "Calibration"):
        assert f">{title}</h2>" in page
    assert "data:image/jpeg;base64," in page


def test_the_python_api_reads_it(validated: tuple[Path, list[str]]) -> None:
    run = slimline.load(validated[0])
    table = run.predictions()
    assert set(table["fold"]) == {0, 1}
    assert len(table) == run.metrics["count"]
    assert run.facts["crossval"]["top1"] == run.metrics["top1"]
    assert {"mean_top1", "spread_top1"} <= run.facts["crossval"].keys()


def test_a_second_run_is_cached_and_other_folds_use_the_same_base(validated: tuple[Path, list[str]]) -> None:
    folder = validated[0].parents[2]
    plan = pipeline(folder, "run.plan=true", "crossval.train_all=true").stdout.splitlines()
    states = {line[:16].rstrip(): line[16:22].rstrip() for line in plan}
    assert {name for name, state in states.items() if state == "runs"} == {"crossval_report", "dataset"}
    assert {name for name, state in states.items() if state == "cached"} >= {
        "base",
        "train fold 1",
        "crossval",
        "export",
    }
    other = pipeline(folder, "run.plan=true", "ingest.split.folds=3").stdout.splitlines()
    assert [line.split()[:2] for line in other if "cached" in line] == [["base", "cached"]]


def test_settings_that_contradict_it_are_refused_before_anything_runs(tmp_path: Path) -> None:
    done = pipeline(tmp_path, "ingest.split.fold=1")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("ingest.split.fold=1 cannot be used with crossval: it tests every fold.\n")
    assert not (tmp_path / "runs").exists()
