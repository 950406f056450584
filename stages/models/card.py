"""The assembled model: a base, a head and the classes' names, as a card and a checkpoint describe it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slimline.pipeline.artifact import write_json
from slimline.pipeline.errors import UserError
from slimline.stages.images.preprocessing_config import Preprocessing
from slimline.stages.networks.table import NETWORKS
from slimline.stages.networks.weights.user_weights import RANDOM

if TYPE_CHECKING:
    from slimline.stages.networks.graphs.module import SlimModule

CARD = "card.json"
GRAPH = "graph.pb"


@dataclass(frozen=True)
class Card:
    """What it takes to build a model again, beside its checkpoint.

    `head` holds the arguments of `make_head`, or is None for the base's own ImageNet layer; a base that
    has none has no `labels` either. `graph` is a frozen base's GraphDef, cut to what is used, which has
    its weights inside; a TF-Slim base has none. `weights` says where the base's came from. With `flips` the logits
    are the mean of an image's own and of its mirror image's.
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

    @property
    def trained(self) -> bool:
        """Whether the base knows anything, or was drawn at random."""
        return self.weights != RANDOM


def write_card(folder: Path, card: Card) -> None:
    """Write a card into an artifact's folder: as JSON, and a frozen base's graph beside it."""
    values = asdict(card)
    if card.graph is not None:
        (folder / GRAPH).write_bytes(card.graph)
    del values["graph"]
    write_json(folder / CARD, values)


def read_card(folder: Path) -> Card:
    """Read a card from an artifact's folder."""
    values = json.loads((folder / CARD).read_text(encoding="utf-8"))
    graph = (folder / GRAPH).read_bytes() if (folder / GRAPH).is_file() else None
    return Card(**{**values, "preprocessing": Preprocessing(**values["preprocessing"]), "graph": graph})


def base_network(card: Card, classes: int | None = None) -> Callable[..., Any]:
    """Return the base as a network function; its end point `pooled` is the bottleneck, [batch, width].

    Its output is the logits of its own layer of that many classes, or without `classes` the bottleneck.
    """
    if card.graph is not None:
        from slimline.stages.networks.graphs.frozen_graph import frozen_network

        return frozen_network(card.graph, classes is not None)
    return _slim_network(card.network, card.multiplier, classes)


@cache
def _slim_network(name: str, multiplier: float, classes: int | None) -> Callable[..., Any]:
    """Return the same function for the same network, so that `outline` knows it again."""
    row = NETWORKS[name]
    options = {"multiplier": multiplier} if len(row.multipliers) > 1 else {}
    build = row.load()
    return lambda images, *, is_training=False: build(images, is_training=is_training, num_classes=classes, **options)


def upper_scopes(card: Card) -> str:
    """Return the scope from which on the base's upper blocks are, with a `+` behind it; a frozen graph has none."""
    row = NETWORKS.get(card.network)
    return f"{row.scope}/{row.upper}+" if row else ""


def classifier_network(card: Card) -> Callable[..., Any]:
    """Return the whole model as a network function from images to logits."""
    if card.head is None:
        return base_network(card, len(card.labels))
    return _with_head(base_network(card), len(card.labels), json.dumps(card.head), card.flips)


@lru_cache(maxsize=2)
def _with_head(base: Callable[..., Any], classes: int, options: str, flips: bool) -> Callable[..., Any]:
    """Put a head, whose `options` are JSON, on a base; the same function for the same ones, as `_slim_network`."""
    from slimline.stages.networks.architectures.heads import make_head

    head = make_head(classes, **json.loads(options))

    def network(images: Any, *, is_training: bool = False, dropout_seed: Any = None) -> tuple[Any, dict[str, Any]]:
        features, end_points = base(images, is_training=is_training)
        logits, more = head(features, is_training=is_training, dropout_seed=dropout_seed)
        return logits, {**end_points, **more}

    return _with_flips(network) if flips else network


def _with_flips(network: Callable[..., Any]) -> Callable[..., Any]:
    """Return a network whose output is the mean over each image and its mirror image: twice the work."""

    def averaged(images: Any, **options: Any) -> tuple[Any, dict[str, Any]]:
        from slimline.stages.backend.tensorflow import tf

        both = tf.concat([images, tf.reverse(images, [2])], 0)
        output, end_points = network(both, **options)
        return sum(tf.split(output, 2)) / 2, end_points

    return averaged


def freeze_network(card: Card, network: Callable[..., Any], checkpoint: Path) -> Any:
    """Return a network for inference: images [batch, side, side, 3] float32 to its output, in float32."""
    from slimline.stages.networks.graphs.module import freeze

    return freeze(network, read_weights(checkpoint), input_shape(card))


def freeze_classifier(card: Card, checkpoint: Path) -> Any:
    """Return the whole model for inference: images to logits [batch, classes]."""
    return freeze_network(card, classifier_network(card), checkpoint)


def build(
    card: Card, network: Callable[..., Any], values: Mapping[str, Any] | None = None, seed: int = 0
) -> SlimModule:
    """Build a network as a module, its variables restored by name from `values` where these have them."""
    from slimline.stages.networks.graphs.module import SlimModule

    return SlimModule(network, input_shape(card), values, seed)


def initial_values(card: Card, network: Callable[..., Any], values: Mapping[str, Any], seed: int = 0) -> dict[str, Any]:
    """Return what `build` has its variables begin with, by name, in order of construction."""
    from slimline.stages.networks.graphs.module import outline

    return outline(network, input_shape(card)).initial_values(values, seed)


def with_input(card: Card, input_px: int | None) -> Card:
    """Return the model for images of another side; None leaves it as it is.

    The margin that a crop leaves out stays as wide, in pixels, as EfficientNet-Lite's own sizes have it: 32 at 224 as
    at 260.

    Raises:
        UserError: the base is a frozen graph, whose size is its own.
    """
    if input_px is None:
        return card
    if card.graph is not None:
        raise UserError(
            f"train.image_px={input_px}: a frozen graph takes images of {card.preprocessing.input_px} pixels.",
            "Leave train.image_px out, or choose a base such as mobilenet_v1.",
        )
    wanted = card.preprocessing
    margin_px = wanted.input_px / wanted.crop_fraction - wanted.input_px
    crop_fraction = input_px / (input_px + margin_px)
    return replace(card, preprocessing=replace(wanted, input_px=input_px, crop_fraction=crop_fraction))


def input_shape(card: Card) -> tuple[int, int, int]:
    """Return the shape of one prepared image."""
    return card.preprocessing.input_px, card.preprocessing.input_px, 3


def read_weights(checkpoint: Path) -> dict[str, Any]:
    """Read a model's variables by name; a frozen base alone has none, and no checkpoint."""
    from slimline.stages.networks.weights.checkpoint import read_checkpoint

    return read_checkpoint(checkpoint) if checkpoint.with_name(f"{checkpoint.name}.index").exists() else {}
