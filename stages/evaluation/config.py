"""The configuration of `evaluate`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from enum import Enum
from pathlib import Path
from typing import Any

from omegaconf import II

from slimline.pipeline.config import require_range
from slimline.pipeline.errors import GateFailed
from slimline.pipeline.stage import external, untracked
from slimline.stages.data.splitting.config import split_names
from slimline.stages.models.formats import DESCRIPTION
from slimline.stages.networks import table


class Split(Enum):
    """The split whose photos are evaluated."""

    train = "train"
    validation = "validation"
    test = "test"
    all = "all"

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the splits: all three for `all`, otherwise one."""
        return split_names(self.value)


@dataclass
class AtLeast:
    """The least metrics that the model must reach; otherwise nothing is exported and the run fails. None: no minimum.

    They are checked in each run, also if the evaluation is cached.
    """

    top1: float | None = None
    balanced_accuracy: float | None = None
    macro_f1: float | None = None
    roc_auc: float | None = None

    def __post_init__(self) -> None:
        for one in fields(self):
            if getattr(self, one.name) is not None:
                require_range(f"evaluate.at_least.{one.name}", getattr(self, one.name), 0.0, 1.0)

    def check(self, metrics: Mapping[str, Any]) -> None:
        """Compare metrics with the minima.

        Raises:
            GateFailed: some are lower; the message lists them.
        """
        asked = {one.name: getattr(self, one.name) for one in fields(self)}
        short = [
            f"{name} {_shown(metrics[name])}, required {least:.4g}"
            for name, least in asked.items()
            if least is not None and (metrics[name] is None or metrics[name] < least)
        ]
        if short:
            raise GateFailed(
                f"The model does not reach evaluate.at_least on {metrics['count']:,} photos: {', '.join(short)}.",
                "Nothing was exported; the metrics and the report are kept. Improve the training, or lower "
                "evaluate.at_least.",
            )


def _shown(value: float | None) -> str:
    return "is not defined" if value is None else f"{value:.4f}"


def description_files(config: EvaluateConfig) -> Iterator[Path]:
    """Yield the description next to a model file, if it exists: the result depends on it too."""
    if config.model is not None and (beside := Path(config.model).parent / DESCRIPTION).is_file():
        yield beside


@dataclass
class EvaluateConfig:
    """Which model and photos to evaluate, which metrics to compute, and the least values required.

    `model` is a run or an exported model, evaluated instead of the model that this run trains. Its photos are those of
    its own run, or those of `images` (which is `ingest.images`). `trained_on` lists the photos that trained it, if they
    are known. `top` lists the k of the top-k accuracies; those that are not below the number of classes are left out.
    `reject_precision` is the precision that the reject threshold is chosen for. `slices` are columns of the index,
    or columns that ingest kept.
    """

    model: str | None = external(None, more=description_files)
    photos: str | None = external(None)
    images: str | None = untracked(None)
    trained_on: str | None = external(None)
    split: Split = Split.test
    top: list[int] = field(default_factory=lambda: [5])
    reject_precision: float | None = 0.95
    resamples: int = 1000
    slices: list[str] = field(default_factory=list)
    at_least: AtLeast = untracked(AtLeast)
    seed: int = II("run.seed")

    def __post_init__(self) -> None:
        for k in self.top:
            require_range("evaluate.top", k, 2, 100_000)
        if self.reject_precision is not None:
            require_range("evaluate.reject_precision", self.reject_precision, 0.0, 1.0)
        require_range("evaluate.resamples", self.resamples, 100, 1_000_000)


def chosen_network(config: EvaluateConfig) -> dict[str, list[str]]:
    """Return what the config chooses from the table of networks: nothing for a given model, which has its own."""
    return {} if config.model is None else {table.__name__: []}
