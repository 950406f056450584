"""Bases on the command line, without a network: compared, refused, untrained."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests import kept_store
from tests.commands.test_flowers import SMALL, manifest, pipeline
from tests.conftest import shared

pytestmark = pytest.mark.slow
UNTRAINED = ["base=mobilenet_v1", "base.multiplier=0.25", "base.size=96", "base.weights=random"]


@pytest.fixture(scope="module")
def untrained(tmp_path_factory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("untrained")
    done = pipeline(folder, "+experiment=flowers", *SMALL, *UNTRAINED)
    assert done.returncode == 0, done.stderr + done.stdout
    return folder, done.stdout


def test_missing_weights_of_a_base_are_an_error_with_advice(tmp_path):
    started = time.perf_counter()
    done = pipeline(tmp_path, "+experiment=flowers", "ingest.origin=drawn", "base=inception_v3")
    assert time.perf_counter() - started < 10
    assert done.returncode == 2
    said = done.stderr
    file = "inception_v3_weights_tf_dim_ordering_tf_kernels.h5"
    assert f"hand https://storage.googleapis.com/tensorflow/keras-applications/inception_v3/{file} to " in said
    assert f"slimline/{file}, md5:9a0d58056eeedaa3f26cb7ebd46da564" in said
    assert "Use a base that needs no download: base=efficientnet_lite0" in said
    assert "base.weights=random" in said
    assert not (tmp_path / "runs/flowers").exists()


def test_a_run_with_an_untrained_base_completes_and_is_marked_everywhere(untrained):
    folder, said = untrained
    run = folder / "runs/flowers/v001"
    assert "base: mobilenet_v1 is untrained" in said
    assert next(line for line in said.splitlines() if line.startswith("test ")).endswith(", by an UNTRAINED base")
    assert "base      UNTRAINED: base.weights=random" in said
    report = (run / "report.html").read_text(encoding="utf-8")
    assert "The base is untrained" in report
    assert "UNTRAINED mobilenet_v1" in report
    stages = manifest(run)["stages"]
    assert stages["base"]["facts"]["weights"] == stages["evaluate"]["facts"]["base_weights"] == "random"
    assert json.loads((run / "metrics.json").read_text(encoding="utf-8"))["base_weights"] == "random"


def test_classify_warns_of_an_untrained_base(untrained):
    folder, _ = untrained
    done = pipeline(folder, "+experiment=classify", "classify.model=runs/flowers/latest")
    assert done.returncode == 0
    assert "UNTRAINED" in done.stdout
    done = pipeline(folder, "+experiment=classify", *UNTRAINED)
    assert done.returncode == 2
    assert "has no ImageNet layer to classify with" in done.stderr


def test_an_earlier_run_serves_as_a_base(untrained):
    folder, _ = untrained
    done = pipeline(
        folder, "+experiment=flowers", *SMALL, *UNTRAINED[:3], "base.weights=runs/flowers/v001", "run.targets=[base]"
    )
    assert done.returncode == 0, done.stderr
    facts = manifest(folder / "runs/flowers/latest")["stages"]["base"]["facts"]
    assert (facts["restored"], facts["new"], facts["unused"]) == (135, 0, 2)


def test_all_available_bases_are_compared(tmp_path, store):
    kept_store.use(store, tmp_path)
    bases = "base=efficientnet_lite0,mobilenet_v1,inception_v3"
    done = pipeline(tmp_path, "-m", "+experiment=bases", bases, "ingest.origin=drawn", *SMALL)
    assert done.returncode == 0, done.stderr + done.stdout
    lines = done.stdout.splitlines()
    assert len([line for line in lines if re.match(r"point \d of 3  skipped  ", line)]) == 2
    board = pq.read_table(tmp_path / "runs/bases/sweeps/s001/leaderboard.parquet").to_pylist()
    skipped = [row["error"] for row in board if row["status"] == "skipped"]
    weights = r"The weights (mobilenet|inception)_\S+\.h5 are not available: "
    assert [bool(re.match(weights, error)) for error in skipped] == [True, True]
    [titles] = [line.split() for line in lines if line.startswith("rank ")]
    assert titles[1:8] == [
        "validation_top1",
        "top1",
        "images_per_second",
        "parameters",
        "multiply_adds",
        "size_mb",
        "latency_seconds",
    ]
    row = lines[next(index for index, line in enumerate(lines) if line.startswith("rank ")) + 1].split()
    assert row[4:6] == ["3.4M", "383.9M"]
    assert (tmp_path / "runs/bases/latest/report.html").exists()


@pytest.mark.parametrize("how", ["checkpoint", "frozen graph"])
def test_the_real_mobilenet_classifies_all_ten_photos(how, imagenet_photos, tmp_path, store):
    kept_store.use(store, tmp_path)
    folder = shared("weights/mobilenet_v1_1.0_224")
    if how == "checkpoint":
        choice = ["base=mobilenet_v1", f"base.weights={folder}/mobilenet_v1_1.0_224.ckpt"]
    else:
        choice = ["base=mobilenet_v1_frozen", f"base.graph={folder}/mobilenet_v1_1.0_224_frozen.pb"]
    done = pipeline(tmp_path, "+experiment=classify", f'classify.images="{imagenet_photos}"', "classify.top=1", *choice)
    assert done.returncode == 0, done.stderr
    lines = (tmp_path / "runs/classify/latest/predictions.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) == 10
    assert {row["name"] for row in rows} == {Path(row["path"]).stem.replace("_", " ") for row in rows}


def test_names_are_printed_in_full_on_request(imagenet_photos, tmp_path, store):
    kept_store.use(store, tmp_path)
    koala = f'classify.images="{imagenet_photos}/koala.jpg"'
    done = pipeline(tmp_path, "+experiment=classify", koala, "classify.full_names=true", "classify.top=1")
    assert "koala, koala bear, kangaroo bear, native bear, Phascolarctos cinereus (score = " in done.stdout
