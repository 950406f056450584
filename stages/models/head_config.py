"""What a user may choose as a head."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from omegaconf import II

from slimline.pipeline.config import require_range
from slimline.pipeline.errors import UserError


@dataclass
class HeadConfig:
    """A linear head: one layer of logits. `dropout` is the part of its inputs left out in training."""

    dropout: float = 0.0
    seed: int = II("run.seed")

    def __post_init__(self) -> None:
        require_range("head.dropout", self.dropout, 0, 0.95)


class Activation(Enum):
    """What a hidden layer applies to its sums."""

    relu = "relu"
    relu6 = "relu6"
    swish = "swish"
    tanh = "tanh"


@dataclass
class MlpConfig(HeadConfig):
    """Hidden layers of these widths below the logits."""

    widths: list[int] = field(default_factory=lambda: [256])
    activation: Activation = Activation.relu

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.widths:
            raise UserError(
                "head.widths=[] leaves the mlp without a hidden layer.",
                "Give one width a layer, as in head.widths=[256], or choose head=linear.",
            )
        for width in self.widths:
            require_range("head.widths", width, 1, 65536)
