"""The dataset page in a run: it exists after ingest, even if a later stage fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import DictConfig, OmegaConf
from PIL import Image

from slimline.pipeline.artifact import Artifact, Facts
from slimline.pipeline.config import RunConfig
from slimline.pipeline.run import read_manifest
from slimline.pipeline.runner import execute
from slimline.pipeline.stage import stage
from slimline.stages.data.config import IngestConfig
from slimline.stages.dataset import DatasetConfig, dataset
from slimline.stages.ingest import ingest
from slimline.stages.review import ReviewConfig


@stage()
def review(config: ReviewConfig, out: Path, *, ingest: Artifact) -> Facts:
    """Fail, as a later stage can."""
    raise OSError("the disk is gone")


@pytest.fixture
def config(tmp_path: Path) -> DictConfig:
    draw = np.random.default_rng(0)
    for label in ("ant", "bee"):
        for number in range(12):
            path = tmp_path / "photos" / label / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(draw.integers(0, 256, (24, 32, 3), dtype=np.uint8)).save(path)
    values: dict[str, Any] = {
        "run": RunConfig(name="toy", directory=str(tmp_path / "runs"), targets=["ingest"]),
        "ingest": IngestConfig(images=str(tmp_path / "photos")),
        "dataset": DatasetConfig(),
        "review": ReviewConfig(),
    }
    return OmegaConf.create({name: OmegaConf.structured(value) for name, value in values.items()})


STAGES = {one.name: one for one in (ingest, dataset, review)}


def test_a_run_that_only_ingests_has_the_page(config, caplog):
    with caplog.at_level("INFO"):
        run = execute(config, STAGES, [])
    assert "<h1>Dataset: 24 photos, 2 classes</h1>" in (run.path / "dataset.html").read_text(encoding="utf-8")
    assert [line for line in caplog.messages if line.endswith("/toy/v001/dataset.html")]


def test_a_cached_ingest_gives_the_same_page(config):
    runs = [execute(config, STAGES, []) for _ in range(2)]
    assert runs[1].manifest["stages"]["ingest"]["cached"]
    first, second = ((run.path / "dataset.html").read_bytes() for run in runs)
    assert first == second


def test_a_run_whose_later_stage_fails_has_the_page(config, tmp_path):
    config.run.targets = ["review"]
    with pytest.raises(OSError, match="the disk is gone"):
        execute(config, STAGES, [])
    folder = tmp_path / "runs/toy/v001"
    assert read_manifest(folder)["status"] == "failed"
    assert "<h1>Dataset: 24 photos, 2 classes</h1>" in (folder / "dataset.html").read_text(encoding="utf-8")


def test_without_a_config_there_is_no_page(config):
    config.dataset = None
    assert not (execute(config, STAGES, []).path / "dataset.html").exists()
