"""The real command line, end to end, on a few drawn flowers, without a network."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.command_server import ROOT, Done, run_python

pytestmark = pytest.mark.slow
# The proxy for every host is an address that the operating system refuses at once: nothing reaches the network.
OFFLINE = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
SMALL = ["ingest.drawn_per_class=14", "train.epochs=6"]


def around() -> dict[str, str]:
    return {**os.environ, **OFFLINE, "PYTHONPATH": str(ROOT), "NO_PROXY": "", "no_proxy": ""}


def pipeline(folder: Path, *arguments: str, program: tuple[str, ...] = ("-m", "pipeline")) -> Done:
    return run_python(*program, *arguments, folder=folder, environment=around())


def manifest(run: Path) -> dict:
    return json.loads((run / "manifest.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def garden(tmp_path_factory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    folder = tmp_path_factory.mktemp("garden")
    command = [sys.executable, "-m", "pipeline", "+experiment=flowers", *SMALL]
    done = subprocess.run(command, cwd=folder, env=around(), capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    return folder, done


def test_without_a_network_the_flowers_are_drawn_and_labeled_as_drawn(garden):
    folder, done = garden
    run = folder / "runs/flowers/v001"
    assert any("drawn by the program" in line for line in done.stdout.splitlines()[:3])
    assert manifest(run)["stages"]["ingest"]["facts"]["origin"] == "drawn flowers"
    assert "drawn" in re.search(r"<h1>(.*?)</h1>", (run / "report.html").read_text(encoding="utf-8")).group(1)
    assert "drawn" in (run / "config.yaml").read_text(encoding="utf-8")


def test_the_terminal_shows_a_plan_one_line_per_stage_and_a_summary(garden):
    _, done = garden
    lines = done.stdout.splitlines()
    for name in ("ingest", "base", "features", "head", "train", "evaluate", "export", "report"):
        assert [line for line in lines if re.match(rf"{name} +runs", line)]
        assert [line for line in lines if re.match(rf"{name} +ran .* \d+\.\d s", line)]
    [place] = [number for number, line in enumerate(lines) if line.startswith("test      top-1 ")]
    assert re.match(r"test      top-1 \d+\.\d% of DRAWN flowers", lines[place])
    assert re.match(r"warning   \d+ test photos are few \(under 50\): all figures are uncertain", lines[place + 1])
    assert any(line.startswith("warning   Not calibrated, and no reject threshold: ") for line in lines[place:])
    rest = [line for line in lines[place:] if re.match(r"model|labels|report|done in", line)]
    assert rest[0] == "model     runs/flowers/v001/artifacts/export/saved_model"
    assert re.match(r"labels    \d+ (of \d+ )?to check[,;] .*a test found \d+ of \d+ planted", rest[1])
    assert rest[2] == "report    runs/flowers/v001/report.html"
    assert re.match(r"done in \d+\.\d s: runs/flowers/v001", rest[3])
    assert all(len(line) <= 100 for line in lines[place + 1 :])
    assert lines.count("dataset   runs/flowers/v001/dataset.html") == 1
    assert done.stderr == ""


def test_a_run_contains_all_results(garden):
    run = garden[0] / "runs/flowers/v001"
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    assert {"top1", "balanced_accuracy", "log_loss", "calibration_error", "trained_on", "few_photos"} <= metrics.keys()
    assert "top5" not in metrics  # of five classes
    assert set(metrics["per_class"]) == {"daisy", "dandelion", "roses", "sunflowers", "tulips"}
    predictions = pq.read_table(run / "artifacts/evaluate/predictions.parquet").to_pylist()
    assert metrics["count"] == len(predictions) == sum(map(sum, metrics["confusion_matrix"]))
    restore = json.loads((run / "artifacts/head/restore.json").read_text(encoding="utf-8"))
    names = [name for state in restore.values() for name in state]
    assert len(names) == len(set(names)) == 249
    assert restore["new"] == ["Head/Logits/biases", "Head/Logits/weights"]
    assert json.loads((run / "environment.json").read_text(encoding="utf-8"))["device"]
    assert list((run / "artifacts/train/logs").glob("events.*"))
    assert (garden[0] / "runs/flowers/latest").resolve() == run.resolve()


def test_the_report_is_one_self_contained_file(garden):
    page = (garden[0] / "runs/flowers/v001/report.html").read_text(encoding="utf-8")
    assert not re.search(r"""(?:src|href)=["'](?!data:|#)""", page.replace('xlink:href="#', ""))
    assert 'class="chart"' in page
    assert "tulips" in page


def test_the_dataset_page_is_one_self_contained_file_with_the_candidates_for_label_errors(garden):
    run = garden[0] / "runs/flowers/v001"
    page = (run / "dataset.html").read_text(encoding="utf-8")
    assert not re.search(r"""(?:src|href)=["'](?!data:|#)""", page)
    assert "<h2>Candidates for label errors</h2>" in page
    assert "<h3>tulips</h3>" in page
    assert not list((run / "artifacts").glob("*/*.html"))


@pytest.mark.release  # in the default tier the test with stubs compares the digests of a second run from nothing
def test_the_same_seed_in_an_empty_store_gives_the_same_metrics(garden, tmp_path):
    assert pipeline(tmp_path, "+experiment=flowers", *SMALL).returncode == 0
    one, other = (folder / "runs/flowers/v001/metrics.json" for folder in (garden[0], tmp_path))
    assert one.read_bytes() == other.read_bytes()


def test_a_sweep_ingests_once_and_runs_all_stages_for_its_best_point(garden):
    folder = garden[0]
    done = pipeline(folder, "-m", "+experiment=flowers", *SMALL, "head=linear,mlp")
    assert done.returncode == 0, done.stderr
    board = pq.read_table(folder / "runs/flowers/sweeps/s001/leaderboard.parquet").to_pylist()
    assert sorted(row["head"] for row in board) == ["linear", "mlp"]
    assert [row["status"] for row in board] == ["completed", "completed"]
    assert all(row["train.validation_loss"] >= 0 for row in board)
    [winner] = [found for path in (folder / "runs/flowers").glob("v*") if "sweep" in (found := manifest(path))]
    assert winner["sweep"] == {"of": "s001", "point": board[0]["point"]}
    assert [winner["stages"][name]["cached"] for name in ("ingest", "features", "train")] == [True, True, True]
    assert winner["stages"]["train"]["facts"]["validation_top1"] == board[0]["score"]
    assert (folder / "runs/flowers/sweeps/s001/leaderboard.html").is_file()
    scores = [row["train.validation_top1"] for row in winner["winner_of"]]
    assert scores == sorted(scores, reverse=True)
    assert list(winner["stages"])[-4:] == ["evaluate", "export", "review", "report"]
    assert re.search(r"^ +1 +\d\.\d{4} .*head=", done.stdout, re.M)


def test_classify_uses_the_runs_model(garden, tmp_path):
    folder = garden[0]
    photos = tmp_path / "photos"
    photos.mkdir()
    from slimline.stages.data.drawing.garden import draw_flower

    for name in ("tulips", "daisy"):
        (photos / f"{name} ü.jpg").write_bytes(draw_flower(name, 3, 0))
    (photos / "bad.jpg").write_bytes(b"\xff\xd8 no")
    done = pipeline(
        folder,
        "+experiment=classify",
        f'classify.images=["{photos}"]',
        "classify.model=runs/flowers/latest",
        "classify.top=2",
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"1 of 3 photos could not be classified:\n  {photos}/bad.jpg: ")
    assert re.search(r"bad\.jpg\nnot classified: ", done.stdout)
    assert "\nleft out 1 of 3: 1 not an image\nscores    runs/classify/v001/predictions.parquet\n" in done.stdout
    assert (folder / "runs/classify/latest").resolve().name == "v001"
    assert manifest(folder / "runs/classify/v001")["status"] == "completed"
    rows = pq.read_table(folder / "runs/classify/v001/predictions.parquet").to_pylist()
    assert list(rows[0]) == ["path", "rank", "name", "score", "rejected", "threshold"]
    assert [row["rank"] for row in rows] == [1, 2, 1, 2]
    assert {row["name"] for row in rows} <= {"daisy", "dandelion", "roses", "sunflowers", "tulips"}
    lines = (folder / "runs/classify/v001/predictions.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == rows
    failures = (folder / "runs/classify/v001/failures.jsonl").read_text(encoding="utf-8").splitlines()
    assert [Path(json.loads(line)["path"]).name for line in failures] == ["bad.jpg"]


def test_classify_of_nothing_but_broken_photos_keeps_the_latest_run(garden, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff no")
    before = pipeline(garden[0], "+experiment=classify", "run.name=broken")
    done = pipeline(garden[0], "+experiment=classify", "run.name=broken", f"classify.images={tmp_path}/bad.jpg")
    assert (before.returncode, done.returncode) == (0, 2)
    assert done.stderr.startswith(f"No photo could be classified:\n  {tmp_path}/bad.jpg: ")
    assert done.stderr.endswith("\nleft out 1 of 1: 1 damaged\n")
    assert (garden[0] / "runs/broken/latest").resolve().name == "v001"
    assert manifest(garden[0] / "runs/broken/v002")["status"] == "failed"


def test_classify_without_arguments_classifies_the_bundled_photo(garden):
    done = pipeline(garden[0], "+experiment=classify")
    assert done.returncode == 0, done.stderr
    scores = re.findall(r"^(.+) \(score = (0\.\d{5})\)$", done.stdout, re.M)
    assert len(scores) == 5
    assert scores[0][0] == "palace"


def test_without_a_fallback_no_network_is_an_error(tmp_path):
    done = pipeline(tmp_path, "+experiment=flowers", "ingest.fallback=none")
    assert done.returncode == 2
    assert "could not be reached" in done.stderr
    assert "ingest.fallback=drawn" in done.stderr
    assert len(done.stderr.splitlines()) <= 3


STUBBED = """
import sys
from unittest.mock import MagicMock
from slimline.stages.table import DISPLAY_ONLY
for name in DISPLAY_ONLY:
    assert name not in sys.modules, name
    sys.modules[name] = MagicMock(name=name)
from slimline.pipeline.cli import main
main()
"""


def test_stubs_in_place_of_the_display_only_modules_change_no_content(garden):
    folder, _ = garden
    asked = ["+experiment=flowers", *SMALL, "run.targets=[evaluate,review]", "run.directory=stubbed"]
    done = pipeline(folder, *asked, program=("-c", STUBBED))
    assert done.returncode == 0, done.stderr + done.stdout
    plain, stubbed = (manifest(folder / name / "flowers/v001")["stages"] for name in ("runs", "stubbed"))
    names = ["ingest", "base", "head", "features", "train", "evaluate", "review"]
    assert {name: stubbed[name]["cached"] for name in names} == dict.fromkeys(names, False)
    for part in ("key", "digest"):
        assert {name: stubbed[name][part] for name in names} == {name: plain[name][part] for name in names}


def test_a_model_below_the_quality_gate_keeps_its_metrics_and_report_and_is_not_exported(garden):
    folder = garden[0]
    latest = (folder / "runs/flowers/latest").resolve()
    metrics = json.loads((latest / "metrics.json").read_text(encoding="utf-8"))
    name = next(name for name in ("top1", "balanced_accuracy", "macro_f1", "roc_auc") if metrics[name] < 1)
    said = []
    for _ in range(2):  # the same command says the same again
        done = pipeline(folder, "+experiment=flowers", *SMALL, f"evaluate.at_least.{name}=1")
        assert done.returncode == 3, done.stderr + done.stdout
        run = max((folder / "runs/flowers").glob("v*"))
        assert list(manifest(run)["stages"])[-3:] == ["evaluate", "review", "report"]
        assert manifest(run)["stages"]["evaluate"]["cached"]
        assert json.loads((run / "metrics.json").read_text(encoding="utf-8"))[name] == metrics[name]
        assert "does not reach evaluate.at_least" in (run / "report.html").read_text(encoding="utf-8")
        assert not (run / "artifacts/export").exists()
        assert (folder / "runs/flowers/latest").resolve() == latest
        said.append(done.stderr)
    assert said[0] == said[1]
    assert said[0].startswith(f"The model does not reach evaluate.at_least on {metrics['count']} photos: {name} 0.")


def test_a_format_that_is_left_out_is_named_and_the_rest_is_kept(garden):
    folder = garden[0]
    quiet = "import slimline.stages.backend.tensorflow\n"  # before tf2onnx imports TensorFlow, which then says a lot
    broken = "import tf2onnx.convert as c\nc.from_graph_def = lambda *a, **b: [][1]\n"
    program = ("-c", f"{quiet}{broken}from slimline.pipeline.cli import main\nmain()")
    said = []
    for _ in range(2):  # the second time it is cached
        formats = "export.formats=[saved_model,onnx]"
        done = pipeline(folder, "+experiment=flowers", *SMALL, formats, program=program)
        assert done.returncode == 2, done.stderr + done.stdout
        run = (folder / "runs/flowers/latest").resolve()
        assert run == max((folder / "runs/flowers").glob("v*"))
        facts = manifest(run)["stages"]["export"]["facts"]
        assert facts["formats"] == ["saved_model"]
        assert facts["failures"] == [done.stderr.strip()]
        assert done.stderr.strip() in (run / "report.html").read_text(encoding="utf-8")
        said.append(done.stderr)
    assert said[0] == said[1]
    assert said[0] == ("onnx was left out of the export: it cannot be converted: IndexError: list index out of range\n")
    assert pipeline(folder, "+experiment=flowers", *SMALL).returncode == 0


def test_photos_that_trained_a_model_are_told(garden):
    folder = garden[0]
    done = pipeline(
        folder, "+experiment=evaluate", "evaluate.model=runs/flowers/v001", "evaluate.split=train", "run.name=own"
    )
    assert done.returncode == 0, done.stderr
    metrics = json.loads((folder / "runs/own/v001/metrics.json").read_text(encoding="utf-8"))
    assert metrics["trained_on"] == {"train": metrics["count"], "validation": 0}
    lower = "expect a lower accuracy on new photos"
    assert f"warning   {metrics['count']} of {metrics['count']} photos trained this model: {lower}" in done.stdout
