"""Cards: what is needed to rebuild a model, in addition to its checkpoint."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from slimline.pipeline.artifact import write_json
from slimline.pipeline.errors import UserError
from slimline.stages.images.preprocessing_config import Preprocessing
from slimline.stages.networks.weights.user_weights import RANDOM

CARD = "card.json"
GRAPH = "graph.pb"
LINEAR, MLP = "linear", "mlp"


@dataclass(frozen=True)
class Card:
    """What is needed to rebuild a model, in addition to its checkpoint.

    `head` has the settings of the head `head_kind` of the table of heads. It is None for the base's own ImageNet layer;
    a base without that layer has no `labels`. `graph` is a frozen base's GraphDef, cut to what is used, with its
    weights; a TF-Slim base has none. `weights` is the source of the base's weights. With `flips`, the logits are the
    mean over an image and its mirror image.
    """

    network: str
    preprocessing: Preprocessing
    labels: list[str]
    head: dict[str, Any] | None
    weights: str
    weights_sha256: str
    multiplier: float = 1.0
    graph: bytes | None = None
    flips: bool = False
    head_kind: str = LINEAR

    @property
    def trained(self) -> bool:
        """Whether the base has trained weights, not random ones."""
        return self.weights != RANDOM


def write_card(folder: Path, card: Card) -> None:
    """Write a card into an artifact's folder: as JSON, with a frozen base's graph next to it."""
    values = asdict(card)
    if card.graph is not None:
        (folder / GRAPH).write_bytes(card.graph)
    del values["graph"]
    write_json(folder / CARD, values)


def read_card(folder: Path, base: Path | None = None) -> Card:
    """Read a card from an artifact's folder; a frozen base's graph is in the folder of its `base`.

    Cards of earlier versions lack `head_kind`, which was `linear` or `mlp`, and have a copy of the graph next to them.
    """
    values = json.loads((folder / CARD).read_text(encoding="utf-8"))
    values.setdefault("head_kind", MLP if (values["head"] or {}).get("widths") else LINEAR)
    graphs = [place / GRAPH for place in (folder, base) if place and (place / GRAPH).is_file()]
    graph = graphs[0].read_bytes() if graphs else None
    return Card(**{**values, "preprocessing": Preprocessing(**values["preprocessing"]), "graph": graph})


def with_input(card: Card, input_px: int | None) -> Card:
    """Return the model for images of another size; None doesn't change it.

    The margin that a crop removes keeps its width in pixels, as in EfficientNet-Lite's own sizes: 32 at 224 and at 260.

    Raises:
        UserError: the base is a frozen graph, whose size is fixed.
    """
    if input_px is None:
        return card
    if card.graph is not None:
        raise UserError(
            f"train.image_px={input_px}: a frozen graph takes images of {card.preprocessing.input_px} pixels.",
            "Remove train.image_px, or choose a base such as mobilenet_v1.",
        )
    wanted = card.preprocessing
    margin_px = wanted.input_px / wanted.crop_fraction - wanted.input_px
    crop_fraction = input_px / (input_px + margin_px)
    return replace(card, preprocessing=replace(wanted, input_px=input_px, crop_fraction=crop_fraction))


def input_shape(card: Card) -> tuple[int, int, int]:
    """Return the shape of one preprocessed image."""
    return card.preprocessing.input_px, card.preprocessing.input_px, 3
