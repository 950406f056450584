"""Head configs: the choice of a head and its settings."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any

from omegaconf import II

from slimline.pipeline.config import require_choice, require_range
from slimline.pipeline.errors import UserError
from slimline.stages.models import head_table


@dataclass
class HeadConfig:
    """A linear head: one layer of logits. `dropout` is the share of its inputs that training drops.

    `kind` is the head's name in the table. A head with its own settings has a subclass with another `kind`.
    """

    kind: str = "linear"
    dropout: float = 0.0
    seed: int = II("run.seed")

    def __post_init__(self) -> None:
        require_choice("head.kind", self.kind, list(head_table.HEADS))
        if type(self) is not head_table.HEADS[self.kind].config:
            raise UserError(
                f"head.kind={self.kind} can't be used with the settings of {type(self).__name__}.",
                f"Choose the head with head={self.kind}, which sets head.kind too.",
            )
        require_range("head.dropout", self.dropout, 0, 0.95)

    def options(self) -> dict[str, Any]:
        """Return the options of the head's factory, without the number of classes: its settings as JSON values."""
        values = {item.name: getattr(self, item.name) for item in fields(self) if item.name not in ("kind", "seed")}
        return {name: value.value if isinstance(value, Enum) else value for name, value in values.items()}


class Activation(Enum):
    """The activation function of a hidden layer."""

    relu = "relu"
    relu6 = "relu6"
    swish = "swish"
    tanh = "tanh"


@dataclass
class MlpConfig(HeadConfig):
    """A multilayer perceptron: hidden layers of these widths before the logits."""

    kind: str = "mlp"
    widths: list[int] = field(default_factory=lambda: [256])
    activation: Activation = Activation.relu

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.widths:
            raise UserError(
                "head.widths=[] leaves the mlp without a hidden layer.",
                "Set one width per layer, as in 'head.widths=[256]', or choose head=linear.",
            )
        for width in self.widths:
            require_range("head.widths", width, 1, 65536)


def chosen_head(config: HeadConfig) -> dict[str, list[str]]:
    """Return the config's choice from the table of heads: a row and a factory."""
    heads = head_table.HEADS
    return {head_table.__name__: [heads.references[config.kind], heads[config.kind].function]}
