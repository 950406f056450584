"""Points of a sweep: what each one is, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from slimline.pipeline.config import RunConfig, check_names, typed_configs
from slimline.pipeline.errors import UserError
from slimline.pipeline.stage import Stage
from slimline.pipeline.sweeping.chain import Chain
from slimline.pipeline.tasks import Task, order_tasks

COMPLETED, FAILED, SKIPPED, PRUNED = "completed", "failed", "skipped", "pruned"


@dataclass(frozen=True)
class SeedResult:
    """What one training of a point gave: facts by `stage.fact`, and where the target's artifact is in the store.

    `member` is its place in an artifact of several points, or None. `curve` holds the best value so far of the first
    metric after each epoch, where points may end early.
    """

    facts: Mapping[str, Any]
    artifact: str
    member: int | None = None
    curve: Sequence[float] = ()


@dataclass(frozen=True)
class Outcome:
    """What came of a point. `retry`: the failure may not happen again, such as a full disk."""

    status: str
    seeds: Sequence[SeedResult] = ()
    seconds: float = 0.0
    error: str = ""
    retry: bool = False

    def record(self) -> dict[str, Any]:
        """Return the outcome as JSON values."""
        return asdict(self)


def read_outcome(record: Mapping[str, Any]) -> Outcome:
    """Return the outcome that `record` returned."""
    seeds = [SeedResult(**one) for one in record["seeds"]]
    return Outcome(record["status"], seeds, record["seconds"], record["error"], record["retry"])


@dataclass(frozen=True)
class Prepared:
    """A point whose config is composed, checked and resolved: typed configs by task, for each seed.

    The last of `tasks` is the target; all of them keep their output.
    """

    number: int
    overrides: list[str]
    seeds: list[dict[str, Any]]
    tasks: list[Task] = field(default_factory=list)

    @property
    def configs(self) -> dict[str, Any]:
        """The configs of the first seed: those of the point itself."""
        return self.seeds[0]


def prepare(
    number: int, overrides: list[str], config: DictConfig, stages: Mapping[str, Stage], chain: Chain
) -> Prepared:
    """Check a point's config and resolve it, once for each seed.

    Raises:
        UserError: a value is out of range, or the target is not a stage of the experiment whose output is kept.
    """
    typed = [typed_configs(one, stages) for one in _with_seeds(_as_point(config))]
    target = typed[0][0].sweep.target
    check_target(target, typed[0][1], stages)
    tasks: list[Task] = []
    for _, configs in typed:
        tasks = [one for one in order_tasks(stages, configs, [target]) if one.stage.cache]
        chain.settle(tasks, configs)
    return Prepared(number, overrides, [configs for _, configs in typed], tasks)


def _as_point(config: DictConfig) -> DictConfig:
    """Set in place what is set for points alone, where the experiment has such a setting; return the config."""
    for text in config.run.sweep.point_settings:
        name, _, value = text.partition("=")
        if OmegaConf.select(config, name) is not None:
            with read_write(config):
                OmegaConf.update(config, name, value)
    return config


def check_target(target: str, configs: Mapping[str, Any], stages: Mapping[str, Stage]) -> None:
    """Check that the points of a sweep can end with a stage.

    Raises:
        UserError: the experiment does not have the stage, or its output is not kept.
    """
    check_names("run.sweep.target", [target], configs)
    if not stages[target].cache:
        kept = ", ".join(name for name in configs if stages[name].cache)
        raise UserError(
            f"run.sweep.target={target} is a stage whose output is not kept, so its points cannot be compared.",
            f"Choose one of: {kept}.",
        )


def _with_seeds(config: DictConfig) -> list[DictConfig]:
    """Return a point's config once for each seed: `run.sweep.seeds` of them, counted up from the config's own."""
    found = [config]
    seeds = _seed_settings(config)
    for more in range(1, int(config.run.sweep.seeds)):
        one = config.copy()
        for name, value in seeds.items():
            with read_write(one), open_dict(one):
                OmegaConf.update(one, name, value + more)
        found.append(one)
    return found


def check_seeds(config: DictConfig) -> None:
    """Check that several seeds of a point differ.

    Raises:
        UserError: this config has none of the settings that seeds count up.
    """
    sweep = config.run.sweep
    if sweep.seeds > 1 and not _seed_settings(config):
        raise UserError(
            f"run.sweep.seeds={sweep.seeds} has no effect: "
            f"no setting of run.sweep.seed_settings=[{','.join(sweep.seed_settings)}] is a whole number here.",
            "Name a seed of it, such as 'run.sweep.seed_settings=[train.seed]'.",
        )


def _seed_settings(config: DictConfig) -> dict[str, int]:
    """Return the settings that seeds count up, with the values of the first seed."""
    values = {name: OmegaConf.select(config, name) for name in config.run.sweep.seed_settings}
    return {name: value for name, value in values.items() if isinstance(value, int) and not isinstance(value, bool)}


def run_directory(run: RunConfig) -> Path:
    """Return the folder of an experiment's runs."""
    return Path(run.directory).absolute() / run.name
