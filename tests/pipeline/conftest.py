"""Toy stages and fixtures that run them, directly or by a command: without images and without TensorFlow."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from slimline.pipeline import code
from slimline.pipeline.artifact import Artifact, Facts, write_text
from slimline.pipeline.config import RunConfig
from slimline.pipeline.errors import Undecided
from slimline.pipeline.runner import execute
from slimline.pipeline.stage import RunRecord, Stage, external, stage, untracked
from tests.command_server import COMPOSING, run_python

ROOT = Path(__file__).parents[2]
CALLS: list[str] = []


@dataclass
class GatherConfig:
    images: str | None = external(None)
    size: int = 3
    threads: int = untracked(1)
    remote: bool = False


def settle(config: GatherConfig, plan: bool) -> GatherConfig:
    if config.remote and plan:
        raise Undecided("30 MB would be downloaded")
    return config


@stage(resolve=settle)
def gather(config: GatherConfig, out: Path) -> Facts:
    CALLS.append("gather")
    write_text(out / "numbers.txt", "".join(f"{number}\n" for number in range(config.size)))
    return {"count": config.size, "reading_seconds": 0.25}


@dataclass
class PolishConfig:
    grit: int = 80


@stage()
def polish(config: PolishConfig, out: Path, *, gather: Artifact) -> Facts:
    CALLS.append("polish")
    write_text(out / "polished.txt", (gather.path / "numbers.txt").read_text() * config.grit)
    return {}


@dataclass
class OptimizerConfig:
    learning_rate: float = 0.01
    momentum: float = 0.9


@dataclass
class FitConfig:
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    epochs: int = 2
    polished: bool = False


@stage(optional={"polish": lambda config: config.polished})
def fit(config: FitConfig, out: Path, *, gather: Artifact, polish: Artifact | None) -> Facts:
    CALLS.append("fit")
    numbers = (gather.path / "numbers.txt").read_text().split()
    write_text(out / "model.txt", f"{numbers} {config.optimizer.learning_rate} {polish is not None}")
    return {"score": len(numbers) / 4, "polished": polish is not None}


@dataclass
class TellConfig:
    title: str = "toy"


@stage(cache=False)
def tell(config: TellConfig, out: Path, *, fit: Artifact, run: RunRecord) -> Facts:
    CALLS.append("tell")
    write_text(out / "tale.txt", f"{config.title}: {fit.facts['score']} {', '.join(run.artifacts)}")
    return {"headline": "tale      {path}/tale.txt"}


CONFIGS = {"gather": GatherConfig, "polish": PolishConfig, "fit": FitConfig, "tell": TellConfig}
STAGES: dict[str, Stage] = {stage.name: stage for stage in (tell, gather, polish, fit)}


class Toys:
    """Four stages gather -> (polish) -> fit -> tell, run in a folder; `calls` lists those that were called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls = CALLS
        self.stages = dict(STAGES)
        self.code: dict[str, dict[str, str]] = {name: {f"toys.{name}": f"{name} as it was"} for name in STAGES}
        self.versions: dict[str, str] = {"numpy": "2.1.0"}

    def config(self, run: Mapping[str, Any] | None = None, **stages: Mapping[str, Any] | None) -> DictConfig:
        """Compose a config: `fit={"epochs": 3}` overrides, `polish={}` adds a stage, `gather=None` removes it."""
        wanted = {"gather": {}, "fit": {}, "tell": {}, **stages}
        about = {"name": "toy", "directory": str(self.folder / "runs"), "targets": ["tell"], **(run or {})}
        node: dict[str, Any] = {"run": OmegaConf.merge(OmegaConf.structured(RunConfig), about)}
        for name, values in wanted.items():
            node[name] = None if values is None else OmegaConf.merge(OmegaConf.structured(CONFIGS[name]), dict(values))
        return OmegaConf.create(node)

    def execute(self, run: Mapping[str, Any] | None = None, **stages: Mapping[str, Any] | None) -> Any:
        self.calls.clear()
        return execute(self.config(run, **stages), self.stages, [])


@pytest.fixture
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toys:
    """Toys with fixed code and versions, which a test may change, so that keys can be literals."""
    made = Toys(tmp_path)

    def read(reader: code.CodeReader, stage: Stage, choices: code.Choices | None = None) -> code.Code:
        chosen = {name: "as it was" for names in (choices or {}).values() for name in names}
        return code.Code({**made.code.get(stage.name, {}), **chosen}, made.versions)

    monkeypatch.setattr(code.CodeReader, "read", read)
    made.calls.clear()
    return made


@pytest.fixture
def plan_lines(toys: Toys, caplog: pytest.LogCaptureFixture) -> Callable[..., list[str]]:
    """Return a function that plans a run of the toys and returns the printed lines."""

    def lines(run: Mapping[str, Any] | None = None, **stages: Mapping[str, Any] | None) -> list[str]:
        caplog.clear()
        with caplog.at_level("INFO", logger="slimline.pipeline"):
            assert toys.execute({"plan": True, **(run or {})}, **stages) is None
        return [record.getMessage() for record in caplog.records]

    return lines


@pytest.fixture
def forget_code() -> Callable[..., None]:
    """Return a function that clears the caches of `slimline.pipeline.code`, as a new process would.

    The list of installed distributions, which takes 0.14 s to read, is only cleared with `installed=True`.
    """

    def forget(installed: bool = False) -> None:
        for value in vars(code).values():
            if hasattr(value, "cache_clear") and (installed or value is not code._distributions):
                value.cache_clear()

    return forget


Told = tuple[int, list[str], list[str], bool]


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Told]:
    """Return a function that runs `python -m pipeline`: exit code, output, errors, whether TensorFlow was imported."""

    def run_command(*arguments: str, program: tuple[str, ...] = ("-m", "pipeline")) -> Told:
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}", "NO_COLOR": "1"}
        done = run_python(*program, *arguments, folder=tmp_path, environment=environment, modules=COMPOSING, seconds=60)
        assert "slimline" in done.imported
        heavy = not done.imported.isdisjoint(("tensorflow", "tf_slim"))
        return done.returncode, done.stdout.splitlines(), done.stderr.splitlines(), heavy

    return run_command


# A complete command with toy stages: `slimline.pipeline.cli` with another table of stages and another conf/.

TOYS = """
from dataclasses import dataclass
from pathlib import Path
from slimline.pipeline.artifact import Artifact, Facts
from slimline.pipeline.errors import UserError
from slimline.pipeline.stage import stage

@dataclass
class TrainConfig:
    rate: float = 0.5
    note: str = "Straße"

@stage()
def train(config: TrainConfig, out: Path) -> Facts:
    if config.rate > 1:
        raise UserError("The loss is no longer a number.", "Lower train.rate.")
    (out / "model.txt").write_text(config.note, encoding="utf-8")
    return {"validation_top1": config.rate, "note": config.note}

@dataclass
class ReportConfig:
    title: str = "toy"

@stage(cache=False)
def report(config: ReportConfig, out: Path, *, train: Artifact) -> Facts:
    return {"top1": train.facts["validation_top1"]}

STAGES = {"train": train, "report": report}
"""
PROGRAM = """
import sys
from pathlib import Path
from slimline.pipeline import cli as command_line
from toybox import STAGES
command_line.STAGES, command_line.CONF = STAGES, Path("conf").absolute()
command_line.TOGETHER, command_line.FINISH_SWEEP = {}, None
sys.argv.insert(1, f"--config-path={Path('conf').absolute()}")
command_line.main()
"""
ROOT_CONFIG = """
defaults:
  - run: schema
  - train: schema
  - report: schema
  - _self_
  - override hydra/job_logging: none
  - override hydra/hydra_logging: none
run: {name: toy, targets: [report]}
hydra: {output_subdir: null, job: {chdir: false}, run: {dir: .}, sweep: {dir: ., subdir: .}}
"""


@pytest.fixture
def toy_program(tmp_path: Path) -> tuple[str, ...]:
    (tmp_path / "toybox").mkdir()
    (tmp_path / "toybox" / "__init__.py").write_text(TOYS, encoding="utf-8")
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "config.yaml").write_text(ROOT_CONFIG)
    (tmp_path / "program.py").write_text(PROGRAM)
    return ("program.py",)


# The same with the shipped configs in another folder, as in an installed copy, and a plug-in's configs in `plugged`.

INSTALLED = """
import sys
from pathlib import Path
from slimline.pipeline import cli as command_line
from toybox import STAGES
shipped, plugged = Path(__file__).absolute().parent / "shipped", Path("plugged").absolute()
command_line.STAGES, command_line.CONF = STAGES, shipped
command_line.TOGETHER, command_line.FINISH_SWEEP = {}, None
command_line.plugin_config_folders = lambda: [plugged] if plugged.exists() else []
sys.argv.append(f"--config-path={shipped}")
command_line.main()
"""
SHIPPED = {
    "config": ROOT_CONFIG.replace("train: schema", "train: null")
    .replace("report: schema", "report: null")
    .replace("run: {name: toy, targets: [report]}\n", ""),
    "train/slow": "defaults:\n  - schema\n\nrate: 0.25\n",
    "train/fast": "defaults:\n  - schema\n\nrate: 0.75\n",
    "report/text": "defaults:\n  - schema\n",
    "experiment/toy": (
        "# @package _global_\ndefaults:\n  - override /train: slow\n  - override /report: text\n\n"
        "run:\n  name: toy\n  targets: [report]\n"
    ),
}


def write_configs(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write config files into a folder, by their name in a config."""
    for name, text in files.items():
        path = folder / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


@pytest.fixture
def installed_program(tmp_path: Path) -> tuple[str, ...]:
    folder = tmp_path / "installed"
    (folder / "toybox").mkdir(parents=True)
    (folder / "toybox" / "__init__.py").write_text(TOYS, encoding="utf-8")
    (folder / "program.py").write_text(INSTALLED)
    write_configs(folder / "shipped", SHIPPED)
    return ("installed/program.py",)


@pytest.fixture
def configs(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes config files into a folder of the working directory, by default `conf`."""
    return lambda files, folder="conf": write_configs(tmp_path / folder, files)
