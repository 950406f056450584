"""The assembled model: a base, a head and the classes' names, as a card and a checkpoint describe it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artifact import write_json
from stages.data.preprocessing import Preprocessing
from stages.networks.table import NETWORKS, NetworkRow

if TYPE_CHECKING:
    from stages.networks.module import SlimModule

CARD = "card.json"


@dataclass(frozen=True)
class Card:
    """What it takes to build a model again, beside its checkpoint.

    `head` holds the arguments of `make_head`, or is None for the base's own ImageNet layer.
    """

    network: str
    preprocessing: Preprocessing
    labels: list[str]
    head: dict[str, Any] | None
    weights: str
    weights_sha256: str

    @property
    def row(self) -> NetworkRow:
        """The network's row in the table."""
        return NETWORKS[self.network]


def write_card(folder: Path, card: Card) -> None:
    """Write a card as JSON into an artifact's folder."""
    write_json(folder / CARD, asdict(card))


def read_card(folder: Path) -> Card:
    """Read a card from an artifact's folder."""
    values = json.loads((folder / CARD).read_text(encoding="utf-8"))
    return Card(**{**values, "preprocessing": Preprocessing(**values["preprocessing"])})


def bottleneck_network(card: Card) -> Callable[..., Any]:
    """Return the base as a network function from images to the bottleneck's features."""
    build, bottleneck = card.row.load(), card.row.bottleneck

    def network(images: Any, *, is_training: bool = False) -> tuple[Any, dict[str, Any]]:
        _, end_points = build(images, is_training=is_training, num_classes=None)
        return end_points[bottleneck], end_points

    return network


def classifier_network(card: Card) -> Callable[..., Any]:
    """Return the whole model as a network function from images to logits."""
    if card.head is None:
        build, classes = card.row.load(), card.row.classes
        return lambda images, *, is_training=False: build(images, is_training=is_training, num_classes=classes)
    from stages.networks.heads import make_head

    base, head = bottleneck_network(card), make_head(len(card.labels), **card.head)

    def network(images: Any, *, is_training: bool = False, dropout_seed: Any = None) -> tuple[Any, dict[str, Any]]:
        features, end_points = base(images, is_training=is_training)
        logits, more = head(features, is_training=is_training, dropout_seed=dropout_seed)
        return logits, {**end_points, **more}

    return network


def freeze_network(card: Card, network: Callable[..., Any], checkpoint: Path) -> Any:
    """Return a network for inference: images [batch, side, side, 3] float32 to its output, in float32."""
    from stages.networks.checkpoint import read_checkpoint
    from stages.networks.module import freeze

    side = card.preprocessing.input_px
    return freeze(network, read_checkpoint(checkpoint), (side, side, 3))


def freeze_classifier(card: Card, checkpoint: Path) -> Any:
    """Return the whole model for inference: images to logits [batch, classes]."""
    return freeze_network(card, classifier_network(card), checkpoint)


def build(
    card: Card, network: Callable[..., Any], values: Mapping[str, Any] | None = None, seed: int = 0
) -> SlimModule:
    """Build a network as a module, its variables restored by name from `values` where these have them."""
    from stages.networks.module import SlimModule

    side = card.preprocessing.input_px
    return SlimModule(network, (side, side, 3), values, seed)
