"""Compare: the page shows how runs differ, and the p-value."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from slimline.pipeline.artifact import write_json
from slimline.pipeline.errors import UserError
from slimline.stages.compare import CompareConfig, compare, settle_runs
from slimline.stages.exporting.measurements import write_formats
from slimline.stages.pages.compare import compare_page, sign_test
from slimline.stages.pages.finished_run import read_run
from tests.browser import accessibility_faults, needs_browser, opened
from tests.stages.pages.hostile import HOSTILE, Seen, harmless

ROW = {"precision": 0.5, "recall": 0.25, "f1": 0.4, "support": 4}


def write_run(folder: Path, *, right: str, settings: dict, trained: bool = True, evaluated: str = "evaluate") -> Path:
    """Write the folder of a run that evaluated ten photos; `right` has a y for each correct prediction."""
    evaluate, train, export = (folder / "artifacts" / name for name in (evaluated, "train", "export"))
    for path in (evaluate, train, export):
        path.mkdir(parents=True)
    named = [letter == "y" for letter in right]
    metrics = {"top1": sum(named) / len(named), "balanced_accuracy": 0.5, "macro_f1": 0.5, "roc_auc": None}
    write_json(
        evaluate / "metrics.json",
        {
            **metrics,
            "log_loss": 0.5,
            "calibration_error": 0.1,
            "count": len(named),
            "intervals": {"top1": [0.1, 0.9]},
            "per_class": {"ant <b>": ROW, "bee": ROW},
        },
    )
    rows = [
        {"sha256": str(number), "label": "bee", "predicted": "bee" if one else "ant"}
        for number, one in enumerate(named)
    ]
    pq.write_table(pa.Table.from_pylist(rows), evaluate / "predictions.parquet")
    if trained:
        history = {"epoch": [1, 2], "validation_accuracy": [0.5, 0.6], "validation_loss": [1.0, 0.9]}
        pq.write_table(pa.table(history), train / "history.parquet")
        times = {"latency_seconds": 0.0123, "latency_p95_seconds": 0.02, "images_per_second": 50.0}
        measured = {"file": "saved_model", "size_mb": 14.7, "top1": 0.5, "changed": 3, "checked": 10}
        write_formats(export, {"saved_model": measured}, {"saved_model": times})
    (folder / "config.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    write_json(folder / "manifest.json", {"stages": {"train": {"seconds": 3.0}, "evaluate": {"seconds": 1.5}}})
    return folder


@pytest.fixture
def runs(tmp_path, monkeypatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    base = {"run": {"name": "flowers"}, "train": {"epochs": 5, "optimizer": {"learning_rate": 0.1}}}
    other = {"run": {"name": "flowers"}, "train": {"epochs": 9, "optimizer": {"learning_rate": 0.1, "nesterov": True}}}
    write_run(tmp_path / "runs/v001", right="yyyyynnnnn", settings=base)
    write_run(tmp_path / "runs/v002", right="yyyyyyyyny", settings=other)
    file = tmp_path / "runs/v002/artifacts/evaluate/metrics.json"
    metrics = json.loads(file.read_text(encoding="utf-8")) | {"trained_on": {"train": 10, "validation": 0}}
    metrics["per_class"]["bee"] = {**ROW, "support": 0}
    write_json(file, metrics)
    write_run(tmp_path / "runs/v003", right="nyyyyynnnn", settings=base, trained=False)
    return [f"runs/v00{number}" for number in (1, 2, 3)]


def page_of(runs: list[str], out: Path) -> str:
    facts = compare(settle_runs(CompareConfig(runs), False), out)
    assert (facts["runs"], facts["best"], facts["best_top1"]) == (3, "runs/v002", 0.9)
    return (out / "compare.html").read_text(encoding="utf-8")


def test_runs_are_compared_with_the_first(runs, tmp_path):
    text = page_of(runs, tmp_path)
    shown = text.partition('id="plotly"')[0]
    assert '<td class="text">runs/v002</td><td>10</td><td>4</td><td>0</td><td>0.125</td>' in shown
    assert '<td class="text">runs/v003</td><td>10</td><td>1</td><td>1</td><td>1.000</td>' in shown
    assert '<td class="text">train.epochs</td><td class="text">5</td><td class="text">9</td>' in shown
    assert '<td class="text">train.optimizer.nesterov</td><td class="text">-</td><td class="text">True</td>' in shown
    assert "train.optimizer.learning_rate" not in shown  # it is equal in all runs
    assert "run.name" not in shown
    assert "ant &lt;b&gt;" in shown
    assert shown.count("<td>14.7 MB</td><td>50.0%</td><td>3 of 10</td><td>12.3 ms</td>") == 2
    assert "4.5 s" in shown
    # Wilson's interval, also for runs of earlier versions, whose files have the bootstrap's
    assert "<td>23.7% to 76.3%</td><td>not known</td><td>4.5 s</td>" in shown
    assert "<td>59.6% to 98.2%</td><td>10 of 10</td><td>4.5 s</td>" in shown
    said = "10 of 10 photos trained this model: expect a lower accuracy on new photos."
    assert f'<td class="text">runs/v002</td><td class="text">{said}</td>' in shown
    assert "25.0% (4.6% to 69.9%)" in shown
    assert "no photos" in shown


def test_an_export_of_an_earlier_version_is_compared(runs, tmp_path):
    """Earlier versions called the number of changed predictions flips."""
    path = tmp_path / "runs/v001/artifacts/export/formats.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"changed"', '"flips"'), encoding="utf-8")
    assert '"flips": 3' in path.read_text(encoding="utf-8")
    assert page_of(runs, tmp_path).count("<td>3 of 10</td>") == 2


def test_hostile_texts_are_safe_wherever_they_are_shown(runs, tmp_path):
    found = [read_run(tmp_path / run) for run in runs]
    settings = [{f"train.{HOSTILE}": f"{number}{HOSTILE}"} for number in range(3)]
    labels = {**found[0].metrics["per_class"], HOSTILE: ROW}
    hostile = [
        run._replace(
            name=f"{HOSTILE} {run.name}",
            settings=setting,
            metrics={**run.metrics, "per_class": labels},
            formats={HOSTILE + name: row for name, row in run.formats.items()},
        )
        for run, setting in zip(found, settings, strict=True)
    ]
    hostile[0].metrics["few_photos"] = {"split": False, "classes": {HOSTILE: {"evaluated": 1, "training": None}}}
    hostile[0].metrics["split"] = "test"
    page = harmless(compare_page(hostile))
    assert page.text.count(HOSTILE) == 25
    [accuracy, loss] = page.json()
    assert [trace["name"] for trace in accuracy["data"] + loss["data"]] == 2 * [
        escape(f"{HOSTILE} {run.name}") for run in found if run.history
    ]


def test_the_contents_list_links_to_each_section(runs, tmp_path):
    page = Seen(page_of(runs, tmp_path))
    ids = [attributes["id"] for attributes in page.all("section")]
    assert [attributes["href"] for attributes in page.all("a")] == [f"#{name}" for name in ids]
    assert len(ids) == len(page.all("h2")) == 6


@needs_browser
def test_a_browser_shows_the_comparison(runs, tmp_path):
    page_of(runs, tmp_path)
    with opened() as page:
        page.goto((tmp_path / "compare.html").as_uri())
        page.wait_for_function("typeof Plotly === 'object'")
        for place in page.query_selector_all(".chart"):
            place.scroll_into_view_if_needed()
            page.wait_for_function("chart => chart.dataset.drawn", arg=place)
        assert page.said == []
        assert accessibility_faults(page) == []


@pytest.mark.parametrize(
    ("better", "worse", "p_value"), [(0, 0, 1.0), (5, 0, 2 / 32), (1, 1, 1.0), (3, 1, 10 / 16), (10, 2, 158 / 4096)]
)
def test_the_p_value_is_that_of_coin_tosses(better, worse, p_value):
    assert sign_test(better, worse) == pytest.approx(p_value)
    assert sign_test(worse, better) == pytest.approx(p_value)


def test_a_run_is_read_back(runs, tmp_path):
    found = read_run(tmp_path / "runs/v001")
    assert found.settings == {"run.name": "flowers", "train.epochs": 5, "train.optimizer.learning_rate": 0.1}
    assert found.predictions["9"] == ("bee", "ant")
    assert found.seconds == 4.5
    assert read_run(tmp_path / "runs/v003").history is None


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["runs/v001"], "names fewer than two runs"),
        (["runs/v001", "runs/v009"], r"runs/v009 is not a run"),
        (["runs/v001", "runs/v004"], r"runs/v004 has no evaluation"),
    ],
)
def test_too_few_runs_and_runs_without_an_evaluation_are_refused(runs, tmp_path, asked, said):
    (tmp_path / "runs/v004").mkdir()
    write_json(tmp_path / "runs/v004/manifest.json", {})
    with pytest.raises(UserError, match=said):
        settle_runs(CompareConfig(asked), False)


def test_a_cross_validation_is_compared_by_the_photos_of_all_folds(tmp_path):
    pooled = write_run(tmp_path / "a", right="yyyyyyyynn", settings={"x": 1}, trained=False, evaluated="crossval")
    write_run(tmp_path / "a" / "other", right="n" * 10, settings={})
    (tmp_path / "a" / "other/artifacts/evaluate").rename(tmp_path / "a/artifacts/evaluate")
    plain = write_run(tmp_path / "b", right="yyyynnnnnn", settings={"x": 2})
    settle_runs(CompareConfig([str(pooled), str(plain)]), False)
    runs = [read_run(pooled), read_run(plain)]
    assert [run.metrics["top1"] for run in runs] == [0.8, 0.4]
    assert sum(label == predicted for label, predicted in runs[0].predictions.values()) == 8
