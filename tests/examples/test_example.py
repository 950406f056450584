"""The example plug-in: installed into a folder and run on the command line; it counts only in its own runs' keys."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import kept_store
from tests.command_server import ROOT, Done, run_python
from tests.commands.test_flowers import OFFLINE, SMALL, around, manifest

pytestmark = pytest.mark.slow

PACKAGE = ROOT / "examples/slimline-example"
DRAWN = ["ingest.origin=drawn", *SMALL]
PLANNED = [*DRAWN, "run.targets=[evaluate]"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install a copy of the package into a folder, without a network; pip builds in the source folder."""
    folder = tmp_path_factory.mktemp("installed")
    shutil.copytree(PACKAGE, folder / "source", ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
    asked = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--target", str(folder / "site")]
    command = [sys.executable, "-m", "pip", "install", *asked, str(folder / "source")]
    done = subprocess.run(command, env={**os.environ, **OFFLINE}, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    return folder / "site"


def slimline(folder: Path, *arguments: str, site: Path | None = None) -> Done:
    """Run the command line in a folder, with the plug-in installed in `site`, or without it."""
    path = os.pathsep.join(map(str, [ROOT, site] if site else [ROOT]))
    return run_python("-m", "pipeline", *arguments, folder=folder, environment={**around(), "PYTHONPATH": path})


@pytest.fixture(scope="module")
def ran(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Run the package's experiment, and return the run."""
    folder = tmp_path_factory.mktemp("example")
    done = slimline(folder, "+experiment=example", "ingest.origin=drawn", SMALL[0], "train.epochs=2", site=site)
    assert done.returncode == 0, done.stderr + done.stdout
    yield folder / "runs/example/v001"


def parts(run: Path, stage: str) -> dict[str, Any]:
    """Return the code digests and versions in a stage's key."""
    found: dict[str, Any] = json.loads((run / "artifacts" / stage / "artifact.json").read_text(encoding="utf-8"))
    return {**found["parts"]["code"], **found["parts"]["versions"]}


def test_its_experiment_runs_with_its_stage_its_base_and_its_head(ran: Path) -> None:
    stages = manifest(ran)["stages"]
    assert stages["base"]["facts"]["network"] == "tiny"
    assert stages["head"]["facts"]["kind"] == "cosine"
    assert stages["sharpness"]["facts"]["photos"] == stages["ingest"]["facts"]["photos"] == 70
    rows = (ran / "artifacts/sharpness/sharpness.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 71
    card = json.loads((ran / "artifacts/train/card.json").read_text(encoding="utf-8"))
    assert (card["head_kind"], card["head"]) == ("cosine", {"dropout": 0.0, "scale": 16.0})
    assert stages["export"]["facts"]["checked"] == stages["evaluate"]["facts"]["count"]


def test_its_modules_and_its_version_are_in_the_keys_of_the_stages_that_use_them(ran: Path) -> None:
    own = ["__init__", "cosine", "measure", "rows", "sharpness", "tiny"]
    names = {name: f"slimline_example.{name}".removesuffix(".__init__") for name in own}
    used = {
        "ingest": [],
        "base": ["__init__", "rows", "tiny"],
        "head": ["__init__", "cosine", "rows", "tiny"],
        "train": ["__init__", "cosine", "rows", "tiny"],
        "evaluate": ["__init__", "cosine", "rows", "tiny"],
        "export": [],
        "sharpness": ["__init__", "measure", "sharpness"],
    }
    for stage, modules in used.items():
        found = parts(ran, stage)
        assert [name for name in own if names[name] in found] == modules, stage
        assert found.get("slimline-example") == ("0.1.0" if modules else None), stage


def test_installing_it_changes_no_key_of_another_job(site: Path, tmp_path: Path, store: Path) -> None:
    kept_store.use(store, tmp_path)
    done = slimline(tmp_path, "+experiment=flowers", *PLANNED)
    assert done.returncode == 0, done.stderr + done.stdout
    plans = [slimline(tmp_path, "+experiment=flowers", *PLANNED, "run.plan=true", site=one) for one in (None, site)]
    without, with_plugin = (plan.stdout.splitlines()[1:] for plan in plans)
    assert [line.split()[:2] for line in without if "dataset" not in line] == [
        [name, "cached"] for name in ("ingest", "base", "head", "features", "train", "evaluate")
    ]
    assert with_plugin == without


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("head.scal=3", "head.scal is not a setting of this config. Did you mean head.scale?"),
        (
            "sharpness.treshold=3",
            "sharpness.treshold is not a setting of this config. Did you mean sharpness.threshold?",
        ),
        ("head=cosin", "Did you mean cosine?"),
        ("base.network=tiney", "Did you mean tiny?"),
    ],
)
def test_a_typo_in_its_settings_is_explained(site: Path, tmp_path: Path, argument: str, said: str) -> None:
    done = slimline(tmp_path, "+experiment=example", "ingest.origin=drawn", argument, site=site)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) <= 3
    assert not (tmp_path / "runs/example").exists()


def test_the_readme_names_all_parts() -> None:
    text = (PACKAGE / "README.md").read_text(encoding="utf-8")
    for named in ("+experiment=example", "base=tiny", "head=cosine", "+sharpness=default", "pip install"):
        assert named in text
    assert "pip install slimline" not in text


def test_the_guide_shows_the_packages_code() -> None:
    text = (ROOT / "docs/plugins.md").read_text(encoding="utf-8")
    own = {line for path in PACKAGE.rglob("*.*") if path.is_file() for line in path.read_text().splitlines()}
    blocks = [block.splitlines() for block in re.findall(r"```(?:python|toml)\n(.*?)```", text, re.DOTALL)]
    own_packages = ("list_flat", "def noise", "NoiseConfig")
    shown = [block for block in blocks if not any(name in "\n".join(block[:2]) for name in own_packages)]
    assert (len(blocks), len(shown)) == (7, 4)
    assert [line for block in shown for line in block if line and line not in own] == []
