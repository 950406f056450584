"""The report: its content, opened from disk by a real browser, and that it loads nothing from other hosts."""

from __future__ import annotations

import json
import math
import re
import time
from html import escape
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from slimline.pipeline.artifact import Artifact, write_json
from slimline.pipeline.memo import Memo
from slimline.pipeline.stage import RunRecord
from slimline.stages.evaluate import evaluate
from slimline.stages.evaluation.config import EvaluateConfig, Split
from slimline.stages.export import export
from slimline.stages.exporting.config import ExportConfig
from slimline.stages.pages.confusion_matrix import confusion_matrix, most_confused
from slimline.stages.pages.report import report_page
from slimline.stages.pages.report_config import ReportConfig
from slimline.stages.pages.report_content import RateTest, Report, behind_cells, gather_report, read_rate_tests
from slimline.stages.report import report
from slimline.stages.scoring.sample_sizes import few_photos
from tests.browser import accessibility_faults, needs_browser, opened
from tests.stages.pages.hostile import HOSTILE, Seen, harmless
from tests.stages.toy_training import CLASSES, config, phase

GIVEN = ("ingest", "train", "evaluate", "export")
NASTY = "<img src=x onerror=alert(1)>.png"


def artifact(name: str, out: Path, facts: dict) -> Artifact:
    return Artifact(name, "k", 1, out, name[0], 0.0, facts, {})


@pytest.fixture(scope="module")
def made(toys) -> dict[str, Artifact]:
    """Return the artifacts of a run on toy photos, all of them evaluated; the name of one contains HTML."""
    out = toys.out()
    facts = {"head": {"kind": "linear"}}
    found = {"ingest": toys.ingest, "head": artifact("head", toys.head.path, facts["head"])}
    found["train"] = artifact("train", out, toys.train(config(phase("head", epochs=3), phase("head", epochs=2)), out))
    given = {name: found[name] for name in ("ingest", "train")}
    out = toys.out()
    found["evaluate"] = artifact(
        "evaluate", out, evaluate(EvaluateConfig(seed=0, split=Split.train), out, **toys.trained(found["train"]))
    )
    given["evaluate"] = found["evaluate"]
    table = pq.read_table(out / "predictions.parquet")
    names = [NASTY, *table["filename"].to_pylist()[1:]]
    out = toys.out()
    found["export"] = artifact("export", out, export(ExportConfig(), out, **given))
    pq.write_table(
        table.set_column(table.column_names.index("filename"), "filename", pa.array(names)),
        found["evaluate"].path / "predictions.parquet",
    )
    out = toys.out()
    doubted = {"path": "ant/<b>.png", "label": "ant", "named": "bee", "score": 0.9, "label_score": 0.1}
    pq.write_table(pa.Table.from_pylist([{**doubted, "split": "train", "sha256": "0"}]), out / "label_errors.parquet")
    facts["review"] = {"images": 84, "unreviewed": 0, "candidates": 1, "cross_validated_top1": 0.9}
    facts["review"] |= {"planted": 4, "planted_found": 3, "planted_candidates": 5}
    found["review"] = artifact("review", out, facts["review"])
    return found


def record_of(made: dict[str, Artifact], folder: Path) -> RunRecord:
    (folder / "config.yaml").write_text("run: {name: <toy>}\n", encoding="utf-8")
    write_json(folder / "environment.json", {"command": ["python", "-m", "pipeline", "<script>"]})
    stages = {name: {"cached": name == "ingest", "seconds": 1.5, "key": "0123456789abcdef"} for name in made}
    return RunRecord(folder, {"stages": stages}, made)


def write_report(made: dict[str, Artifact], folder: Path, asked: ReportConfig) -> Path:
    given = {name: made[name] for name in GIVEN}
    report(asked, folder, **given, run=record_of(made, folder), memo=Memo(folder / "memo", {}, {}))
    return folder / "report.html"


@pytest.fixture(scope="module")
def written(made, tmp_path_factory) -> Path:
    return write_report(made, tmp_path_factory.mktemp("report"), ReportConfig(per_cell=5))


@pytest.fixture(scope="module")
def gathered(made, tmp_path_factory) -> Report:
    folder = tmp_path_factory.mktemp("gathered")
    given = {name: made[name] for name in GIVEN}
    record, memo = record_of(made, folder), Memo(folder / "memo", {}, {})
    return gather_report(ReportConfig(per_cell=5), **given, run=record, memo=memo)


def test_the_report_shows_the_measurements(made, written):
    text = written.read_text(encoding="utf-8")
    metrics = json.loads((made["evaluate"].path / "metrics.json").read_text(encoding="utf-8"))
    low, high = metrics["intervals"]["top1"]
    for said in (
        f"{metrics['top1']:.1%} of {metrics['count']:,} training photos classified correctly",
        f"{metrics['count']} of {metrics['count']} photos trained this model: expect a lower accuracy on new photos.",
        "Not calibrated, and no reject threshold: ",
        "The temperature is 1: ",
        f"{low:.1%} to {high:.1%}",
        f"<td>{metrics['per_class']['bee']['recall']:.1%}</td>",
        "saved_model",
        "UNTRAINED",
        escape("<script>"),
        escape("run: {name: <toy>}"),
        escape("ant/<b>.png"),
        "3 were among 5 candidates (95%\ninterval of this share: 30% to 95%)",
    ):
        assert said in text
    assert NASTY not in text
    assert "http://" not in text.partition('id="plotly"')[0]


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_opens_it_from_disk(written, scheme, tmp_path):
    with opened(color_scheme=scheme, viewport={"width": 1100, "height": 900}) as page:
        began = time.perf_counter()
        page.goto(written.as_uri())
        page.wait_for_function("typeof Plotly === 'object'")
        assert time.perf_counter() - began < 6  # the machine may run other tests at the same time
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        for place in page.query_selector_all(".chart"):
            place.scroll_into_view_if_needed()
            page.wait_for_function("chart => chart.dataset.drawn", arg=place)
        assert page.said == []
        assert [url for url in page.asked if not url.startswith(("file:", "data:", "blob:"))] == []
        page.screenshot(path=str(tmp_path / f"report-{scheme}.png"), full_page=True)
        assert accessibility_faults(page) == []


@needs_browser
def test_a_click_on_the_confusion_matrix_shows_its_photos(made, written):
    metrics = json.loads((made["evaluate"].path / "metrics.json").read_text(encoding="utf-8"))
    matrix = metrics["confusion_matrix"]
    with opened() as page:
        page.goto(written.as_uri())
        for true, label in enumerate(CLASSES):
            for named, other in enumerate(CLASSES):
                if not matrix[true][named]:
                    continue
                page.click(f'button[data-cell="{true}-{named}"]')
                assert page.inner_text("#cell h3") == f"{label} predicted as {other}: {matrix[true][named]}"
                pictures = page.query_selector_all("#cell img")
                assert len(pictures) == min(5, matrix[true][named])
                assert all(
                    page.evaluate("one => one.decode().then(() => one.naturalWidth > 0)", one) for one in pictures
                )
                more = matrix[true][named] - len(pictures)
                assert (f"and {more} more" in page.inner_text("#cell")) == (more > 0)
        assert page.query_selector_all("[aria-pressed=true]").__len__() == 1
        assert page.said == []


@needs_browser
def test_the_report_fits_a_phone_and_can_be_printed(written, tmp_path):
    with opened(viewport={"width": 360, "height": 740}, is_mobile=True) as page:
        page.goto(written.as_uri())
        page.wait_for_function("typeof Plotly === 'object'")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360  # wide tables scroll on their own
        page.pdf(path=str(tmp_path / "report.pdf"))
        assert (tmp_path / "report.pdf").stat().st_size > 20_000
        assert page.said == []


def test_a_report_without_an_export_says_why(made, tmp_path):
    record = record_of(made, tmp_path)
    record.manifest["stages"]["evaluate"]["gate"] = (
        "The model does not reach evaluate.at_least: <b>. Nothing was exported."
    )
    given = {name: made[name] for name in GIVEN if name != "export"}
    report(ReportConfig(), tmp_path, **given, export=None, run=record, memo=Memo(tmp_path / "memo", {}, {}))
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert '<p class="notice">The model does not reach evaluate.at_least: &lt;b&gt;. Nothing was exported.</p>' in text
    [section] = re.findall(r"<h2>Exported formats</h2>(.*?)</section>", text, re.S)
    assert "<p>None.</p>" in section
    assert "The model does not reach evaluate.at_least" in section
    assert not (tmp_path / "model_card.md").exists()


def test_a_report_names_the_formats_that_were_left_out(gathered):
    assert "was left out" not in report_page(gathered)
    text = report_page(gathered._replace(left_out=["onnx was left out of the export: <b>"]))
    assert "onnx was left out of the export: &lt;b&gt;" in text
    assert "saved_model" in text


def test_an_unknown_photo_has_its_best_guess_and_the_threshold(gathered):
    [photo, *_] = sorted(gathered.mistakes, key=lambda one: one.score)
    metrics = {**gathered.metrics, "reject_threshold": photo.score + 1e-9}
    text = report_page(gathered._replace(metrics=metrics, mistakes=[photo], uncertain=[], looks=[]))
    score = f"{photo.score:.1%}"
    assert f"{photo.label}, unknown: best guess <b>{photo.predicted}</b> ({score}, threshold {score})" in text
    text = report_page(gathered._replace(metrics={**metrics, "reject_threshold": photo.score}, mistakes=[photo]))
    assert f"{photo.label}, predicted <b>{photo.predicted}</b>" in text


def test_classes_with_few_photos_are_marked(gathered):
    few = few_photos({"ant": 9, "bee": 300, "cat": 300}, {"ant": 20, "bee": 19, "cat": 20})
    text = report_page(gathered._replace(metrics={**gathered.metrics, "few_photos": few, "split": "test"}))
    marked = dict(re.findall(r'<tr><td class="text">(ant|bee|cat)</td><td>.*?<td class="text">(.*?)</td></tr>', text))
    assert marked == {"ant": "9 test", "bee": "19 training", "cat": ""}
    assert "2 classes have few photos (under 10 test or 20 training): ant 9 test; bee 19 training." in text
    none = report_page(gathered._replace(metrics={**gathered.metrics, "few_photos": few_photos({"ant": 50}, None)}))
    assert "few photos" not in none


def test_a_calibrated_report_has_the_temperature_and_the_threshold(gathered):
    metrics = {**gathered.metrics, "calibrated": True, "temperature": 0.728, "reject_threshold": 0.51234}
    text = report_page(gathered._replace(metrics=metrics))
    assert re.search(r"fitted to \d+ validation photos, is\s+0\.728\.", text)
    assert "Photos with a score below 0.512 are classified as unknown" in text
    assert "Not calibrated" not in text


def test_no_metric_is_shown_as_a_negative_zero(gathered):
    metrics = {**gathered.metrics, "log_loss": -0.0, "calibration_error": -1e-9, "balanced_accuracy": -0.0}
    history = {**gathered.history, "validation_loss": [-0.0] * len(gathered.history["epoch"])}
    text = report_page(gathered._replace(metrics=metrics, history=history)).partition('id="plotly"')[0]
    assert not re.search(r"-0(\.0+)?[%<.\s]", re.sub(r"<(script|style).*?</\1>", "", text, flags=re.S))


def test_all_numbers_of_photos_may_be_zero(made, tmp_path):
    path = write_report(made, tmp_path, ReportConfig(mistakes=0, uncertain=0, per_cell=0, looks=0))
    text = path.read_text(encoding="utf-8")
    assert "None. Set report.looks to show some." in text
    assert "data-cell" not in text
    assert "data:image" not in text


def spoiled(value: Any, key: str = "") -> Any:
    """Prepend a hostile text to each text of a report, and to each name of a class, a format or a stage."""
    if isinstance(value, str):
        return value if key == "curve" else HOSTILE + value
    if isinstance(value, dict):
        named = key in ("per_class", "classes", "formats", "stages")
        return {HOSTILE + name if named else name: spoiled(inner, name) for name, inner in value.items()}
    if hasattr(value, "_fields"):
        return type(value)(*(spoiled(inner, name) for name, inner in zip(value._fields, value, strict=True)))
    return [spoiled(inner, key) for inner in value] if isinstance(value, list | tuple) else value


GATED = {"cached": True, "seconds": 1.0, "gate": "top1 0.5, required 0.9"}
RATES = RateTest("head", [0.001, 0.01, 0.1], [3.0, 1.0, 2.0], 0.01)


def test_hostile_texts_are_safe_wherever_they_are_shown(gathered):
    winner_of = [{"overrides": ["train.seed=1"], "top1": 0.5}]
    stages = {**gathered.manifest["stages"], "gated": GATED}
    report = gathered._replace(
        rate_tests=[RATES],
        facts={**gathered.facts, "ingest": {**gathered.facts["ingest"], "origin": "drawn flowers"}},
        manifest={
            **gathered.manifest,
            "winner_of": winner_of,
            "stages": stages,
        },
        metrics={**gathered.metrics, "few_photos": few_photos({"ant": 1, "bee": 2}, {}), "reject_threshold": 2.0},
        left_out=["onnx was left out"],
    )
    page = harmless(report_page(spoiled(report)))
    plain = Seen(report_page(report))
    assert len(page.elements) == len(plain.elements)
    for tag, name in (("img", "src"), ("img", "alt"), ("img", "data-photo"), ("button", "aria-label")):
        given = [attributes[name] for attributes in page.all(tag) if name in attributes]
        assert len(given) > 3
        assert all(HOSTILE in one for one in given)
    cells, *figures = page.json()
    assert all(photo["name"].startswith(HOSTILE) for cell in cells.values() for photo in cell["photos"])
    assert {trace["name"] for figure in figures[-2:] for trace in figure["data"]} == {
        escape(HOSTILE + label) for label in CLASSES
    }


@needs_browser
def test_hostile_texts_run_nothing_in_a_browser(gathered, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(report_page(spoiled(gathered)), encoding="utf-8")
    with opened() as page:
        page.on("dialog", lambda one: page.said.append(one.message))
        page.goto(path.as_uri())
        page.wait_for_function("typeof Plotly === 'object'")
        for place in page.query_selector_all(".chart"):
            place.scroll_into_view_if_needed()
            page.wait_for_function("chart => chart.dataset.drawn", arg=place)
        for button in page.query_selector_all(".confusion button"):
            button.click()
            assert page.query_selector("#cell h3").text_content() == button.get_attribute("aria-label")
        said = [one for one in page.said if "ERR_" not in one]  # the hostile picture URLs do not resolve
        assert said == []


def test_each_phase_with_a_learning_rate_range_test_has_a_chart(gathered):
    charts = len(Seen(report_page(gathered)).all("figure"))
    assert "Learning-rate range test" not in report_page(gathered)
    page = Seen(report_page(gathered._replace(rate_tests=[RATES, RATES._replace(phase="blocks")])))
    assert page.texts.count("Learning-rate range test") == 2  # in the contents list, and as the heading
    assert len(page.all("figure")) == charts + 2
    assert [one for one in page.texts if one.startswith("Phase ")] == ["Phase head: 0.01", "Phase blocks: 0.01"]
    assert [RATES.rates, RATES.losses] in [
        [figure["data"][0]["x"], figure["data"][0]["y"]] for figure in page.json() if "data" in figure
    ]


def test_learning_rate_range_tests_are_read_in_the_order_of_the_phases(tmp_path):
    rates = [10 ** (step / 5 - 6) for step in range(30)]
    losses = [2 - math.tanh(step - 14) for step in range(30)]
    for name in ("all", "head"):
        pq.write_table(pa.table({"learning_rate": rates, "loss": losses}), tmp_path / f"learning_rate_{name}.parquet")
    found = read_rate_tests(tmp_path, ["head", "blocks", "all"])
    assert [test.phase for test in found] == ["head", "all"]
    assert (found[0].rates, found[0].losses) == (rates, losses)
    assert found[0].suggested == pytest.approx(rates[14])


def test_the_contents_list_links_to_each_section(written):
    page = Seen(written.read_text(encoding="utf-8"))
    ids = [attributes["id"] for attributes in page.all("section")]
    assert [attributes["href"] for attributes in page.all("a")] == [f"#{name}" for name in ids]
    assert len(ids) == len(page.all("h2")) > 10


def test_a_report_of_many_classes_lists_the_confusions(gathered):
    labels = [f"class {number}" for number in range(41)]
    matrix = [[int(true == named) + 3 * (true == 7 and named == 2) for named in range(41)] for true in range(41)]
    text = report_page(gathered._replace(labels=labels, metrics={**gathered.metrics, "confusion_matrix": matrix}))
    assert '<tr><td class="text">class 7</td><td class="text">class 2</td><td>3</td></tr>' in text
    assert "data-cell" not in text


def test_the_confusions_of_many_classes_are_listed_most_frequent_first():
    labels = [f"class {number}" for number in range(41)]
    matrix = [[0] * 41 for _ in labels]
    matrix[3][7], matrix[8][1], matrix[5][5] = 2, 9, 50
    assert most_confused(matrix, labels).rows == [["class 8", "class 1", "9"], ["class 3", "class 7", "2"]]
    assert confusion_matrix(matrix, labels, {}) is None


def test_the_photos_of_a_cell_are_the_most_confident_ones():
    rows = [{"label": "a", "predicted": "b", "score": score, "filename": "x"} for score in (0.1, 0.9, 0.5)]
    [(place, (shown, more))] = behind_cells(rows, ["a", "b"], 2).items()
    assert place == (0, 1)
    assert [row["score"] for row in shown] == [0.9, 0.5]
    assert more == 1
