"""`slimline.run` and `slimline.load` on drawn flowers: inside another application, and as documented.

Two real runs in one process are compared with one of the command line. The other tests use their store.
"""

from __future__ import annotations

import asyncio
import doctest
import importlib.util
import json
import logging
import os
import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from PIL import Image

import slimline
from slimline import api, results
from tests.command_server import run_python

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
SMALL = ("ingest.origin=drawn", "ingest.drawn_per_class=14", "train.epochs=3")
CLASSES = ["daisy", "dandelion", "roses", "sunflowers", "tulips"]
CACHED = (*SMALL, "run.targets=[train]")
"""A run in which every stage is cached: nothing imports TensorFlow."""

APPLICATION = """\
    import json, os, signal, sys
    from threading import Thread

    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(os.cpu_count())
    tf.random.set_seed(7)
    before = float(tf.reduce_sum(tf.Variable(tf.random.normal([10]))))

    import hydra
    from hydra.core.config_store import ConfigStore
    from hydra.core.hydra_config import HydraConfig

    import slimline

    ConfigStore.instance().store(name="config", node={"theirs": 1})

    def state():
        handlers = [str(signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)]
        return [HydraConfig.get().job.config_name, os.getcwd(), sys.argv, *handlers]

    @hydra.main(config_path=None, config_name="config", version_base="1.2")
    def main(config):
        small, was, runs = json.loads(os.environ["SMALL"]), state(), []
        runs.append(slimline.run("flowers", *small))
        thread = Thread(target=lambda: runs.append(slimline.run("flowers", *small, "head=mlp", "run.seed=1")))
        thread.start()
        thread.join()
        said = {"paths": [str(run.path) for run in runs], "was": was, "is": state(), "theirs": config.theirs}
        with open("said.json", "w") as file:
            json.dump(said, file)

    main()
"""


def start(folder: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    around = {**os.environ, "PYTHONPATH": str(ROOT), "TF_ENABLE_ONEDNN_OPTS": "1", **environment}
    around.pop("TF_CPP_MIN_LOG_LEVEL", None)
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env=around, capture_output=True, encoding="utf-8", check=False
    )


@pytest.fixture(scope="module")
def application(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], str]:
    """Run twice inside another Hydra application that uses TensorFlow; return its folder, its report, its output."""
    folder = tmp_path_factory.mktemp("application")
    (folder / "app.py").write_text(dedent(APPLICATION))
    done = start(folder, "app.py", "hydra.run.dir=out", SMALL=json.dumps(SMALL))
    assert done.returncode == 0, done.stderr + done.stdout
    return folder, json.loads((folder / "said.json").read_text()), done.stdout


@pytest.fixture
def garden(application: tuple[Path, Any, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the application's folder, with photos to classify; it is the working directory."""
    folder, _, _ = application
    monkeypatch.chdir(folder)
    Image.new("RGB", (64, 48), "gold").save(folder / "photo.jpg")
    (folder / "photos").mkdir(exist_ok=True)
    Image.new("RGB", (48, 64), "crimson").save(folder / "photos/red.png")
    (folder / "photos/broken.jpg").write_bytes(b"\xff\xd8\xff no photo")
    return folder


def test_the_second_run_in_a_process_equals_a_run_of_the_command_line(
    application: tuple[Path, dict[str, Any], str], tmp_path: Path
) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = ("-m", "pipeline", "+experiment=flowers", *SMALL, "head=mlp", "run.seed=1")
    done = run_python(*command, folder=tmp_path, environment=environment)
    assert done.returncode == 0, done.stderr
    theirs = slimline.load(tmp_path / "runs/flowers/latest").manifest["stages"]
    ours = slimline.load(application[1]["paths"][1]).manifest["stages"]
    assert list(ours) == list(theirs)
    for name in ours:
        assert ours[name].get("key") == theirs[name].get("key"), name
        if name != "export":  # no two SavedModels have the same bytes
            assert ours[name].get("digest") == theirs[name].get("digest"), name
    assert not ours["train"]["cached"]


def test_the_surrounding_application_is_unchanged(application: tuple[Path, dict[str, Any], str]) -> None:
    _, said, _ = application
    assert said["is"] == said["was"]
    assert said["theirs"] == 1


def test_settings_that_tensorflow_keeps_give_one_warning(application: tuple[Path, dict[str, Any], str]) -> None:
    lines = [line for line in application[2].splitlines() if "TensorFlow was imported before Slimline" in line]
    assert len(lines) == 1
    assert f"{os.cpu_count()} threads within an operation" in lines[0]
    assert "TF_CPP_MIN_LOG_LEVEL" in lines[0]


def test_a_run_opened_again_classifies_and_keeps_its_model(garden: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = slimline.load("runs/flowers/v001")
    broken, red, gold = run.classify(["photos", garden / "photo.jpg"], top=2)
    assert (broken.guesses, broken.unknown, Path(broken.path).name) == ([], False, "broken.jpg")
    assert broken.reason
    for photo in (red, gold):
        assert photo.reason == ""
        assert len(photo.guesses) == 2
        assert {name for name, _ in photo.guesses} <= set(CLASSES)
        assert photo.guesses[0][1] >= photo.guesses[1][1]
    monkeypatch.setattr("slimline.stages.models.opened_export.open_model", None)
    [again] = run.classify("photo.jpg", top=5)
    assert again.guesses[:2] == gold.guesses
    assert sum(score for _, score in again.guesses) == pytest.approx(1)


def test_without_an_export_the_evaluated_model_classifies(garden: Path) -> None:
    run = slimline.run("flowers", *SMALL, "run.targets=[evaluate]")
    assert run.classify("photo.jpg") == slimline.load("runs/flowers/v001").classify("photo.jpg")


def test_predictions_match_the_metrics(garden: Path) -> None:
    run = slimline.load("runs/flowers/v001")
    table = run.predictions()
    rows = table.to_pylist() if hasattr(table, "to_pylist") else table.to_dict("records")
    assert len(rows) == run.metrics["count"]
    assert sum(row["label"] == row["predicted"] for row in rows) == run.metrics["top1"] * len(rows)
    for row in rows:
        scores = {name: row[f"probability_{name}"] for name in CLASSES}
        assert sum(scores.values()) == pytest.approx(1)
        assert max(scores, key=lambda name: scores[name]) == row["predicted"]
        assert scores[row["predicted"]] == row["score"]


@pytest.mark.parametrize("documented", [api.run, api.load, results.Run.predictions, results.Run.classify])
def test_examples_in_docstrings_run(garden: Path, documented: Any) -> None:
    [test] = doctest.DocTestFinder(recurse=False).find(documented, globs={})
    said: list[str] = []
    found = doctest.DocTestRunner().run(test, out=said.append)
    assert found.attempted > 1
    assert found.failed == 0, "".join(said)


def test_the_examples_of_the_documentation_run(
    garden: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "basicConfig", lambda **options: None)  # pytest's handlers stay
    text = (ROOT / "docs/python.md").read_text(encoding="utf-8")
    [config] = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    (garden / "mine/experiment").mkdir(parents=True, exist_ok=True)
    (garden / "mine/experiment/quick.yaml").write_text(config)
    blocks = re.findall(r"(<!-- needs pandas -->\n)?```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) >= 8
    names: dict[str, Any] = {}
    for needs_pandas, block in blocks:
        if not needs_pandas or importlib.util.find_spec("pandas"):
            exec(compile(block, "docs/python.md", "exec"), names)
    said = capsys.readouterr().out
    assert "photos/broken.jpg cannot be used:" in said
    assert "train.epoch is not a setting of this config. Did you mean train.epochs?" in said
    assert names["quick"].path.parent == garden / "runs/quick"
    stages = names["quick"].manifest["stages"]
    assert all(stages[name]["cached"] for name in ("ingest", "features", "train", "evaluate", "export"))
    logging.getLogger("slimline").setLevel(logging.NOTSET)


def test_cells_run_inside_an_event_loop(garden: Path) -> None:
    async def cells() -> slimline.Run:
        names: dict[str, Any] = {"cached": CACHED}
        for cell in ("import slimline", "run = slimline.run('flowers', *cached)", "run = slimline.load(run.path)"):
            exec(compile(cell, "<cell>", "exec"), names)
        found: slimline.Run = names["run"]
        return found

    assert asyncio.run(cells()).facts["train"]["epochs"] == 3


@pytest.mark.release
def test_a_notebook_runs_twice_loads_and_classifies(garden: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    from nbformat.v4 import new_code_cell, new_notebook

    cells = (
        "import logging, slimline\nlogging.basicConfig(format='%(message)s')\n"
        "logging.getLogger('slimline').setLevel(logging.INFO)",
        f"runs = [slimline.run('flowers', *{SMALL}) for _ in range(2)]",
        "print([run.manifest['status'] for run in runs], runs[0].path != runs[1].path)",
        "print(len(slimline.load('runs/flowers/latest').classify('photo.jpg')[0].guesses))",
    )
    notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells])
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(garden)}}).execute()
    outputs = ["".join(one.get("text", "") for one in cell.outputs) for cell in notebook.cells]
    assert len(re.findall(r"^train +cached +\w+ +\d+\.\d s", outputs[1], re.MULTILINE)) == 2
    assert outputs[2:] == ["['completed', 'completed'] True\n", "5\n"]
