"""Configs: the schemas that Hydra validates against, and the typed values that stages receive."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from slimline.pipeline.config_files import shown, used
from slimline.pipeline.config_nodes import check_keys, decode_names
from slimline.pipeline.errors import UserError, nearest
from slimline.pipeline.stage import Stage

SCHEMA = "schema"
LONGEST_NAME = 200
"""Bytes of a folder's name; file systems take 255, and some encrypted ones 143."""
TIE = "-train.validation_loss"


class Prune(Enum):
    """Whether points of a sweep that lag behind end early."""

    none = "none"
    median = "median"


@dataclass
class SweepConfig:
    """Settings of a sweep (`-m`): its points run up to `target`, and the best one is completed as a run of its own.

    `metric` is a fact of the target stage, or of another stage as `stage.fact`: the largest is the best, or with a
    leading minus or `maximize` false the smallest. A list has several of them: the first one decides, and the points
    that no other point beats in all of them are marked. `tie` decides between points that are equal in the metric. The
    table also shows the facts in `columns`. `points` is the number of points of a search. `seeds` trains each point so
    often, with the settings in `seed_settings` counted up: the mean decides. `point_settings` are settings of the
    points alone, not of the runs that complete the best ones: they must not change a result. `sampler_seed` is the seed
    of a search. `prune` ends points early whose metric lags behind the median of the others. `workers` is the number of
    processes on this machine; with `join` the command joins a sweep that another process has begun. `resume` continues
    the sweep of this name, and `new` begins another one with the same settings. The best `keep` points are completed as
    runs. `verbose` logs every stage of every point. `skip_unavailable` skips points whose data or weights are not
    available.
    """

    target: str = "train"
    metric: Any = "validation_top1"
    maximize: bool = True
    tie: str | None = TIE
    columns: list[str] = field(default_factory=list)
    points: int | None = None
    seeds: int = 1
    seed_settings: list[str] = field(default_factory=lambda: ["train.seed", "head.seed"])
    point_settings: list[str] = field(default_factory=lambda: ["train.tensorboard=scalars"])
    sampler_seed: int = 0
    prune: Prune = Prune.none
    workers: int = 1
    join: bool = False
    resume: str | None = None
    new: bool = False
    keep: int = 1
    verbose: bool = False
    skip_unavailable: bool = False

    def __post_init__(self) -> None:
        names = [self.metric] if isinstance(self.metric, str) else self.metric
        if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
            raise UserError(
                f"run.sweep.metric={self.metric} is not the name of a fact.",
                "Write a fact of a stage, such as validation_top1, or a list: "
                "'run.sweep.metric=[train.validation_top1,-base.multiply_adds]'",
            )
        if not self.maximize and any(name.startswith("-") for name in names):
            raise UserError(
                "run.sweep.maximize=false and a minus in run.sweep.metric cannot be used together.",
                "Use the minus alone: it says for each metric that less is better.",
            )
        for name, value, low, high in (
            ("points", self.points, 1, 1_000_000),
            ("seeds", self.seeds, 1, 100),
            ("workers", self.workers, 1, 256),
            ("keep", self.keep, 0, 1000),
            ("sampler_seed", self.sampler_seed, 0, 2**31 - 1),
        ):
            if value is not None:
                require_range(f"run.sweep.{name}", value, low, high)
        if self.new and (self.resume or self.join):
            other = "resume" if self.resume else "join"
            raise UserError(f"run.sweep.new and run.sweep.{other} cannot be used together.", "Remove one of them.")
        if self.prunes and (self.workers > 1 or self.join):
            raise UserError(
                "run.sweep.prune=median compares each point with all before it, so it needs one process.",
                "Remove run.sweep.workers and run.sweep.join, or run.sweep.prune.",
            )
        if self.prunes and len(names) > 1:
            raise UserError(
                "run.sweep.prune=median compares one metric, but run.sweep.metric has several.", "Give it one metric."
            )

    @property
    def prunes(self) -> bool:
        """Whether points that lag behind end early."""
        return self.prune is Prune.median

    @property
    def tie_is_chosen(self) -> bool:
        """Whether `tie` is the user's own choice, so that it must exist."""
        return self.tie not in (None, TIE)


@dataclass
class RunConfig:
    """Settings of a run; they are `run.*` on the command line."""

    name: str = "unnamed"
    directory: str = "runs"
    targets: list[str] = field(default_factory=list)
    force: list[str] = field(default_factory=list)
    plan: bool = False
    seed: int = 0
    sweep: SweepConfig = field(default_factory=SweepConfig)

    def __post_init__(self) -> None:
        allowed = self.name.replace("-", "").replace("_", "").replace(".", "").isalnum() and not self.name.startswith(
            "."
        )
        if not allowed or self.name == "store":
            raise UserError(
                f"run.name={self.name!r} is not a valid name for a folder of runs.",
                "Use letters, digits, '-', '_' and '.'. A leading '.' and the name 'store' are not allowed.",
            )
        if (length := len(self.name.encode())) > LONGEST_NAME:
            raise UserError(
                f"run.name={self.name[:20]}... is too long for the name of a folder: {length} bytes.",
                f"Use at most {LONGEST_NAME}.",
            )


def register_schemas(stages: Iterable[Stage]) -> None:
    """Register every stage's config with Hydra as `<group>/schema`, and options' own as `<group>/<option>_schema`."""
    store = ConfigStore.instance()
    store.store(group="run", name=SCHEMA, node=RunConfig)
    for stage in stages:
        store.store(group=stage.name, name=SCHEMA, node=stage.config_type)
        for option, schema in stage.schemas.items():
            group, _, name = f"{stage.name}/{option}".rpartition("/")
            store.store(group=group, name=f"{name}_{SCHEMA}", node=schema)


def typed_configs(config: DictConfig, stages: Mapping[str, Stage]) -> tuple[RunConfig, dict[str, Any]]:
    """Return the run's config and each configured stage's, as instances of their dataclasses.

    Raises:
        UserError: a required value is missing, or one is outside its range.
    """
    for name, node in config.items_ex(resolve=False):
        check_keys(node, str(name))
    decode_names(config)
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        raise UserError(f"{missing[0]} is required, but has no value.", f"Set it on the command line: {missing[0]}=...")
    run = OmegaConf.to_object(config.run)
    assert isinstance(run, RunConfig)
    unread = sorted(set(config) - {"run", *stages})
    if unread:
        raise UserError(
            f"{unread[0]} is not a section of the config that any stage reads.",
            f"The sections are: run, {', '.join(stages)}.",
        )
    nodes = {name: config[name] for name in stages if config.get(name) is not None}
    typed = {name: OmegaConf.to_object(node) for name, node in nodes.items()}
    for name, value in typed.items():
        if not isinstance(value, stages[name].config_type):
            raise _without_schema(name, stages[name].config_type)
    check_names("run.targets", run.targets, typed)
    check_names("run.force", run.force, typed)
    if run.force and run.plan:
        raise UserError(
            "run.plan=true and run.force cannot be used together.",
            "Remove one of them: a plan runs nothing, so there is nothing to force.",
        )
    return run, typed


def _without_schema(stage: str, wanted: type) -> Exception:
    """Return the error for a stage's values without its schema; without a user's file it is a bug of Slimline's."""
    files = [shown(file) for name, file in used.items() if name.rpartition("/")[0] == stage]
    if not files:
        return TypeError(f"conf/{stage}/ does not give a {wanted.__name__}: an option lacks `- schema` in its defaults")
    return UserError(
        f"{' or '.join(files)} does not include the schema of {stage}.",
        "Add '  - schema' as the first item of its defaults, below a line 'defaults:'.",
    )


def check_names(key: str, names: list[str], configured: Mapping[str, Any]) -> None:
    """Raise a UserError if a list of stages names one that is not configured."""
    kept = [name for name in names if name in configured]
    for name in names:
        if name not in configured:
            rest = f" Without it: '{key}=[{','.join(kept)}]'." if kept and key == "run.targets" else ""
            raise UserError(
                f"{key} names {name!r}, which is not a stage of this experiment.",
                f"Its stages are: {', '.join(configured) or 'none'}.{rest}",
            )


def require_range(key: str, value: float, low: float, high: float, unit: str = "") -> None:
    """Check that low <= value <= high. A config's `__post_init__` calls it for each number.

    Raises:
        UserError: the value is outside the range, or is NaN.
    """
    if not low <= value <= high:
        bounds = f"at least {low:g}" if high == float("inf") else f"from {low:g} to {high:g}"
        raise UserError(f"{key}={value:g} is out of range.", f"It must be {bounds}{' ' + unit if unit else ''}.")


def require_choice(key: str, value: str, allowed: Sequence[str]) -> None:
    """Check that a value is one of the allowed values; the message is the same as for an Enum.

    Raises:
        UserError: it is not allowed.
    """
    if value not in allowed:
        raise UserError(
            f"{key}={value} is not allowed.", f"It must be one of: {', '.join(allowed)}.{nearest(value, allowed)}"
        )


def require_path(key: str, path: str) -> Path:
    """Return an existing path in absolute form.

    Raises:
        UserError: the path does not exist.
    """
    found = Path(path).expanduser()
    if not found.exists():
        raise UserError(f"{key}={path} does not exist (looked for {found.absolute()}).", "Check the path.")
    return found.absolute()
