"""Toy stages, and what it takes to run them: no images, no TensorFlow, no Hydra."""

from __future__ import annotations

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
    """Four stages gather -> (polish) -> fit -> tell, run in a folder; `calls` says which of them were called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls = CALLS
        self.stages = dict(STAGES)
        self.code: dict[str, dict[str, str]] = {name: {f"toys.{name}": f"{name} as it was"} for name in STAGES}
        self.versions: dict[str, str] = {"numpy": "2.1.0"}

    def config(self, run: Mapping[str, Any] | None = None, **stages: Mapping[str, Any] | None) -> DictConfig:
        """Compose a config: `fit={"epochs": 3}` overrides, `polish={}` adds a stage, `gather=None` takes it away."""
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
    """Toys whose code and versions are what the test says they are, so that keys can be literals."""
    made = Toys(tmp_path)

    def read(reader: code.CodeReader, stage: Stage, choices: code.Choices | None = None) -> code.Code:
        chosen = {name: "as it was" for names in (choices or {}).values() for name in names}
        return code.Code({**made.code.get(stage.name, {}), **chosen}, made.versions)

    monkeypatch.setattr(code.CodeReader, "read", read)
    made.calls.clear()
    return made


@pytest.fixture
def plan_lines(toys: Toys, caplog: pytest.LogCaptureFixture) -> Callable[..., list[str]]:
    """Give a function that plans a run of the toys and returns the lines that it prints."""

    def lines(run: Mapping[str, Any] | None = None, **stages: Mapping[str, Any] | None) -> list[str]:
        caplog.clear()
        with caplog.at_level("INFO", logger="slimline.pipeline"):
            assert toys.execute({"plan": True, **(run or {})}, **stages) is None
        return [record.getMessage() for record in caplog.records]

    return lines


@pytest.fixture
def forget_code() -> Callable[[], None]:
    """Give a function that empties what `slimline.pipeline.code` remembers of modules, as a new process would."""

    def forget() -> None:
        for value in vars(code).values():
            if hasattr(value, "cache_clear"):
                value.cache_clear()

    return forget
