"""Toy sweeps: outcomes and points for tests of one module, and a complete program whose stages count their calls."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from slimline.pipeline.sweeping.points import COMPLETED, Outcome, SeedResult
from tests.command_server import COMPOSING, run_python

ROOT = Path(__file__).parents[3]
Told = tuple[int, list[str], list[str]]
TIMES = ("seconds",)

# `calls.log` in the working directory has a line for each call of a stage, whatever process made it.

STAGES = """
import os, time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from slimline.pipeline.artifact import Artifact, Facts
from slimline.pipeline.errors import GateFailed, Unavailable, UserError
from slimline.pipeline.stage import external, stage, untracked
from slimline.pipeline.together import Together
from slimline.pipeline.watching import report as report_epochs

def count(*words):
    file = os.open("calls.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(file, (" ".join(map(str, words)) + "\\n").encode())
    os.close(file)

@dataclass
class GatherConfig:
    size: int = 3
    images: str | None = external(None)

def settle(config: GatherConfig, plan: bool) -> GatherConfig:
    if config.size == 99:
        raise Unavailable("The photos cannot be downloaded.", "Try again later.")
    return config

@stage(resolve=settle)
def gather(config: GatherConfig, out: Path) -> Facts:
    count("gather", config.size)
    text = Path(config.images).read_text(encoding="utf-8") if config.images else ""
    (out / "numbers.txt").write_text(str(config.size) + text)
    return {"count": config.size, "words": "few", "whole": True}

@dataclass
class OptimizerConfig:
    rate: float = 0.5
    momentum: float = 0.9

@dataclass
class TrainConfig:
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    note: str | None = "Straße"
    seed: int = 0
    epochs: int = 1
    layers: list[int] = field(default_factory=lambda: [3])
    wait_seconds: float = untracked(0.0)
    fault: str = ""

    def __post_init__(self) -> None:
        if self.epochs < 0:
            raise UserError(f"train.epochs={self.epochs} is out of range.", "It must be at least 0.")

def measure(config: TrainConfig) -> Facts:
    rate = config.optimizer.rate
    if rate > 1:
        raise UserError("The loss is no longer a number.", "Lower train.optimizer.rate.")
    top1 = round(1 - abs(rate - 0.3), 1) + config.seed / 1000
    return {"validation_top1": top1, "validation_loss": abs(rate - 0.3), "note": config.note, "sure": True}

@stage()
def train(config: TrainConfig, out: Path, *, gather: Artifact) -> Facts:
    count("train", config.optimizer.rate, config.seed)
    time.sleep(config.wait_seconds)
    if config.fault == "unavailable":
        raise Unavailable("The weights cannot be downloaded.", "Try again later.")
    if config.fault == "crash" and not Path("repaired").exists():
        raise OSError("the disk is full")
    if config.fault == "nan":
        return {"validation_top1": float("nan"), "validation_loss": 1.0}
    facts = measure(config)
    for epoch in range(1, config.epochs + 1 if config.epochs > 1 else 1):
        count("epoch", config.optimizer.rate, epoch)
        report_epochs("train", {"validation_top1": [facts["validation_top1"]] * epoch})
    (out / "model.txt").write_text(f"{config}", encoding="utf-8")
    return facts

@dataclass
class StackConfig:
    members: list[TrainConfig]

@stage()
def stack(config: StackConfig, out: Path, *, gather: Artifact) -> Facts:
    count("stack", *(f"{one.optimizer.rate}/{one.seed}" for one in config.members))
    found = []
    for one in config.members:
        time.sleep(one.wait_seconds)
        try:
            found.append(measure(one))
        except UserError as error:
            found.append({"error": str(error)})
    (out / "models.txt").write_text(f"{config}", encoding="utf-8")
    return {"members": found}

def alike(configs):
    return None if configs["train"].fault else f"epochs {configs['train'].epochs}"

TOGETHER = {"train": Together(stack, alike, lambda points: StackConfig([one["train"] for one in points]))}

@dataclass
class ReportConfig:
    title: str = "toy"
    fault: bool = False

@stage(cache=False)
def report(config: ReportConfig, out: Path, *, train: Artifact) -> Facts:
    count("report", train.facts["validation_top1"])
    if config.fault:
        raise UserError("The report cannot be written.", "Set report.fault=false.")
    return {"top1": train.facts["validation_top1"]}

@dataclass
class JudgeConfig:
    least: float = untracked(0.0)

def check(config: JudgeConfig, artifact: Artifact) -> None:
    if artifact.facts["top1"] < config.least:
        raise GateFailed("The model is not good enough.", "Train a better one.")

@stage(gate=check)
def judge(config: JudgeConfig, out: Path, *, train: Artifact) -> Facts:
    count("judge")
    return {"top1": train.facts["validation_top1"]}

STAGES = {"gather": gather, "train": train, "judge": judge, "report": report}
"""
PROGRAM = """
import os, signal, sys, threading
from pathlib import Path
from slimline.pipeline import cli as command_line
from toysweep import STAGES, TOGETHER
command_line.STAGES, command_line.CONF = STAGES, Path("conf").absolute()
command_line.TOGETHER = TOGETHER if "STACK" in os.environ else {}
command_line.FINISH_SWEEP = None
if after := os.environ.get("KILL_AFTER_SECONDS"):
    killer = threading.Timer(float(after), os.kill, (os.getpid(), int(os.environ.get("KILL_WITH", signal.SIGKILL))))
    killer.daemon = True
    killer.start()
if at := int(os.environ.get("KILL_AT_CHANGE", 0)):
    changes, guard = [], threading.RLock()
    NAMES = {"os.mkdir", "os.rename", "os.symlink", "os.remove", "os.rmdir", "os.link", "os.truncate"}
    def hook(event, given):
        writes = event == "open" and given[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) and given[0] != os.devnull
        if writes or event in NAMES:
            with guard:
                changes.append(event)
                if len(changes) == at:
                    os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)
sys.argv.insert(1, f"--config-path={Path('conf').absolute()}")
command_line.main()
"""
CONFIG = """
defaults:
  - run: schema
  - gather: schema
  - train: schema
  - judge: null
  - report: schema
  - _self_
  - override hydra/job_logging: none
  - override hydra/hydra_logging: none
run: {name: toy, targets: [report]}
hydra: {output_subdir: null, job: {chdir: false}, run: {dir: .}, sweep: {dir: ., subdir: .}}
"""
RATE = "train.optimizer.rate"


class Sweeps:
    """The toy program in a folder, and what its commands left there."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.environment = folder, {}
        (folder / "toysweep").mkdir(parents=True)
        (folder / "toysweep" / "__init__.py").write_text(STAGES, encoding="utf-8")
        (folder / "conf").mkdir()
        (folder / "conf" / "config.yaml").write_text(CONFIG)
        (folder / "program.py").write_text(PROGRAM)

    def __call__(self, *arguments: str, sweep: bool = True, seconds: float = 60, **environment: str) -> Told:
        """Run a sweep, or with `sweep=False` one run; return the exit code, the output and the errors."""
        around = {**os.environ, "PYTHONPATH": f"{ROOT}", "NO_COLOR": "1", **self.environment, **environment}
        typed = ["program.py", *(["-m"] if sweep else []), *arguments]
        done = run_python(*typed, folder=self.folder, environment=around, modules=COMPOSING, seconds=seconds)
        return done.returncode, done.stdout.splitlines(), done.stderr.splitlines()

    def start(self, *arguments: str) -> int:
        """Run a sweep in a new interpreter, at the same time as other commands; return the exit code."""
        around = {**os.environ, "PYTHONPATH": f"{ROOT}", "NO_COLOR": "1"}
        typed = [sys.executable, "program.py", "-m", *arguments]
        return subprocess.run(typed, cwd=self.folder, env=around, stdout=subprocess.DEVNULL, timeout=120).returncode

    def calls(self, stage: str = "") -> list[str]:
        """Return the calls of stages since the last time that this was asked."""
        path = self.folder / "calls.log"
        lines = path.read_text().splitlines() if path.is_file() else []
        path.unlink(missing_ok=True)
        return [line for line in lines if line.startswith(stage)]

    def edit(self, old: str, new: str) -> None:
        """Change the code of the stages."""
        path = self.folder / "toysweep" / "__init__.py"
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")

    def path(self, name: str = "s001") -> Path:
        return self.folder / "runs" / "toy" / "sweeps" / name

    def about(self, name: str = "s001") -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.path(name) / "sweep.json").read_text(encoding="utf-8"))
        return found

    def board(self, name: str = "s001") -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = pq.read_table(self.path(name) / "leaderboard.parquet").to_pylist()
        return rows

    def lasting(self, name: str = "s001", without: Sequence[str] = TIMES) -> list[dict[str, Any]]:
        """Return the leaderboard without times, and with commands as if they were typed in its folder."""
        return [
            {
                key: str(value).replace(str(self.folder), ".") if key == "command" else value
                for key, value in row.items()
            }
            for row in ({key: value for key, value in row.items() if key not in without} for row in self.board(name))
        ]

    def runs(self) -> dict[str, dict[str, Any]]:
        """Return the manifests of all runs, by version."""
        paths = sorted((self.folder / "runs" / "toy").glob("v*/manifest.json"))
        return {path.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in paths}

    def generations(self) -> list[str]:
        """Return each artifact in the store as `stage/key/generation`."""
        store = self.folder / "runs" / "store"
        return sorted(path.parent.relative_to(store).as_posix() for path in store.glob("*/*/*/artifact.json"))


@pytest.fixture
def sweeps(tmp_path: Path) -> Sweeps:
    return Sweeps(tmp_path)


@pytest.fixture
def make_sweeps(tmp_path: Path) -> Callable[[str], Sweeps]:
    """Return a function that makes the program in another folder."""
    return lambda name: Sweeps(tmp_path / name)


def outcome(*facts: Mapping[str, Any], status: str = COMPLETED, error: str = "") -> Outcome:
    """Make the outcome of a point from the facts of each seed, as `stage.fact`."""
    return Outcome(status, [SeedResult(one, "train/key/1") for one in facts], 1.5, error)
