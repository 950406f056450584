"""Head: a TF-Slim head for the user's own classes, set on the base; the assembled model's initial checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any

from omegaconf import II

from slimline.pipeline.artifact import Artifact, Facts, write_json
from slimline.pipeline.config import require_range
from slimline.pipeline.errors import UserError
from slimline.pipeline.stage import stage


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


@stage(schemas={"linear": HeadConfig, "mlp": MlpConfig})
def head(config: HeadConfig, out: Path, *, base: Artifact, ingest: Artifact) -> Facts:
    """Write the assembled model's `model.ckpt`, `card.json` and `restore.json`, which names each variable once."""
    from slimline.stages.models.assemble import classifier_network, initial_values, read_weights
    from slimline.stages.models.card import read_card, write_card
    from slimline.stages.networks.weights.checkpoint import write_checkpoint
    from slimline.stages.networks.weights.restore import restore_report

    labels = (ingest.path / "labels.txt").read_text(encoding="utf-8").splitlines()
    card = replace(read_card(base.path), labels=labels, head=_arguments(config))
    given = read_weights(base.path / "model.ckpt")
    values = initial_values(card, classifier_network(card), given, config.seed)
    write_checkpoint(out / "model.ckpt", values)
    write_card(out, card)
    shapes = {name: value.shape for name, value in values.items()}
    report = restore_report(shapes, {name: value.shape for name, value in given.items()})
    write_json(out / "restore.json", report)
    return {
        "kind": "mlp" if isinstance(config, MlpConfig) else "linear",
        **{state: len(names) for state, names in report.items()},
        "new_parameters": sum(values[name].size for name in report["new"]),
    }


def _arguments(config: HeadConfig) -> dict[str, Any]:
    """Return what `make_head` takes beside the number of classes."""
    if isinstance(config, MlpConfig):
        return {"widths": config.widths, "dropout": config.dropout, "activation": config.activation.value}
    return {"dropout": config.dropout}
