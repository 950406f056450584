"""Configuration of a stack: heads on the same features that train together, and which points of a sweep those are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from slimline.stages.models.head_config import HeadConfig, MlpConfig, chosen_head
from slimline.stages.training.config import BatchNorm, Switch, TrainConfig
from slimline.stages.training.optimizer_config import OPTIMIZERS, MomentumConfig


@dataclass
class Member:
    """A head of a stack, and how it is trained."""

    head: HeadConfig
    train: TrainConfig

    @property
    def batch_size(self) -> int:
        """The number of examples per step."""
        return self.train.phases[0].batch_size or self.train.batch_size

    @property
    def weight_decay(self) -> float:
        """The weight decay of the only phase."""
        own = self.train.phases[0].weight_decay
        return self.train.optimizer.weight_decay if own is None else own

    @property
    def layers(self) -> tuple[int, ...]:
        """The widths of the hidden layers."""
        return tuple(self.head.widths) if isinstance(self.head, MlpConfig) else ()

    @property
    def activation(self) -> str:
        """The activation function of the hidden layers; empty for a linear head."""
        return self.head.activation.value if isinstance(self.head, MlpConfig) else ""

    def form(self) -> tuple[Any, ...]:
        """Return what must be equal for heads that share their products: everything but numbers."""
        optimizer = self.train.optimizer
        return (
            self.head.kind,
            *self.layers,
            self.activation,
            type(optimizer).__name__,
            isinstance(optimizer, MomentumConfig) and optimizer.nesterov,
            optimizer.clip_norm is None,
            optimizer.clip_value is None,
            bool(optimizer.ema_decay),
            self.batch_size,
        )

    def stacks(self) -> bool:
        """Return whether a stack computes all that this training asks for.

        A stack trains linear and mlp heads in one phase on cached features, in float32.
        """
        train, optimizer = self.train, self.train.optimizer
        return (
            type(self.head) in (HeadConfig, MlpConfig)
            and type(optimizer) in OPTIMIZERS.values()
            and len(train.phases) == 1
            and train.on_features(0)
            and train.phases[0].batch_norm is BatchNorm.frozen
            and not (train.mixup or train.balance or train.class_weights)
            and not (train.find_learning_rate or train.profile_steps)
            and train.fused.bfloat16 is not Switch.always
            and optimizer.accumulate_steps == 1
            and not optimizer.learning_rate_factors
        )


@dataclass
class StackConfig:
    """The heads to train together, in the order of the points."""

    members: list[Member] = field(default_factory=list)


def alike(configs: Mapping[str, Any]) -> str | None:
    """Return a text that is equal for points whose heads can be in one stack; None if a point must train alone.

    `configs` holds the typed and settled configs of a point, by stage.
    """
    if "head" not in configs or "train" not in configs:
        return None
    member = Member(configs["head"], configs["train"])
    return " ".join(map(str, member.form())) if member.stacks() else None


def stack_config(points: Sequence[Mapping[str, Any]]) -> StackConfig:
    """Return the config of a stack from the configs of its points, by stage."""
    return StackConfig([Member(configs["head"], configs["train"]) for configs in points])


def chosen_heads(config: StackConfig) -> dict[str, list[str]]:
    """Return the choices of all members from the table of heads."""
    found: dict[str, list[str]] = {}
    for member in config.members:
        for table, references in chosen_head(member.head).items():
            found[table] = sorted({*found.get(table, []), *references})
    return found
