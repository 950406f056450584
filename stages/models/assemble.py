"""Models assembled from their cards: the base and the head as one network, built or frozen with its variables."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from slimline.stages.backend.tensorflow import tf
from slimline.stages.models.card import Card, input_shape
from slimline.stages.models.head_table import HEADS
from slimline.stages.networks.architectures.head_scope import SCOPE
from slimline.stages.networks.graphs.frozen_graph import frozen_network
from slimline.stages.networks.graphs.module import SlimModule, freeze, outline
from slimline.stages.networks.table import NETWORKS
from slimline.stages.networks.weights.checkpoint import read_checkpoint
from slimline.stages.networks.weights.parts import index_of


def base_network(card: Card, classes: int | None = None) -> Callable[..., Any]:
    """Return the base as a network function; its end point `pooled` is the bottleneck, [batch, width].

    Its output is the logits [batch, classes] of its own last layer; without `classes`, the bottleneck.
    """
    if card.graph is not None:
        return frozen_network(card.graph, classes is not None)
    return _slim_network(card.network, card.multiplier, classes)


@cache
def _slim_network(name: str, multiplier: float, classes: int | None) -> Callable[..., Any]:
    """Return the same function for the same network, so that `outline` finds it in its cache."""
    row = NETWORKS[name]
    options = {"multiplier": multiplier} if len(row.multipliers) > 1 else {}
    build = row.load()
    return lambda images, *, is_training=False: build(images, is_training=is_training, num_classes=classes, **options)


def upper_scopes(card: Card) -> str:
    """Return the scope at which the base's upper blocks begin, followed by `+`; empty for a frozen graph."""
    row = NETWORKS.get(card.network)
    return f"{row.scope}/{row.upper}+" if row else ""


def classifier_network(card: Card) -> Callable[..., Any]:
    """Return the whole model as a network function from images to logits."""
    if card.head is None:
        return base_network(card, len(card.labels))
    return _with_head(base_network(card), card.head_kind, len(card.labels), json.dumps(card.head), card.flips)


def head_network(card: Card) -> Callable[..., Any]:
    """Return the head alone, from the bottleneck [batch, width] to logits."""
    return HEADS[card.head_kind].load()(len(card.labels), **(card.head or {}))


def first_head_weights(card: Card) -> str | None:
    """Return the name of the head's weights that multiply its features, or None."""
    first = HEADS[card.head_kind].first_weights
    return first and f"{SCOPE}/{first}"


@lru_cache(maxsize=2)
def _with_head(base: Callable[..., Any], kind: str, classes: int, options: str, flips: bool) -> Callable[..., Any]:
    """Put a head with `options`, as JSON, on a base; the same arguments give the same function, see `_slim_network`."""
    head = HEADS[kind].load()(classes, **json.loads(options))

    def network(images: Any, *, is_training: bool = False, dropout_seed: Any = None) -> tuple[Any, dict[str, Any]]:
        features, end_points = base(images, is_training=is_training)
        logits, more = head(features, is_training=is_training, dropout_seed=dropout_seed)
        return logits, {**end_points, **more}

    return _with_flips(network) if flips else network


def _with_flips(network: Callable[..., Any]) -> Callable[..., Any]:
    """Return a network whose output is the mean over each image and its mirror image: twice the work."""

    def averaged(images: Any, **options: Any) -> tuple[Any, dict[str, Any]]:
        both = tf.concat([images, tf.reverse(images, [2])], 0)
        output, end_points = network(both, **options)
        return sum(tf.split(output, 2)) / 2, end_points

    return averaged


def freeze_network(card: Card, network: Callable[..., Any], checkpoint: Path) -> Any:
    """Return a network for inference: images [batch, side, side, 3] float32 to its output, in float32."""
    return freeze(network, read_weights(checkpoint), input_shape(card))


def freeze_classifier(card: Card, checkpoint: Path) -> Any:
    """Return the whole model for inference: images to logits [batch, classes]."""
    return freeze_network(card, classifier_network(card), checkpoint)


def build(
    card: Card, network: Callable[..., Any], values: Mapping[str, Any] | None = None, seed: int = 0
) -> SlimModule:
    """Build a network as a module; variables that are in `values` are restored by name."""
    return SlimModule(network, input_shape(card), values, seed)


def initial_values(card: Card, network: Callable[..., Any], values: Mapping[str, Any], seed: int = 0) -> dict[str, Any]:
    """Return the initial values of the variables that `build` makes, by name, in order of construction."""
    return outline(network, input_shape(card)).initial_values(values, seed)


def read_weights(checkpoint: Path) -> dict[str, Any]:
    """Read a model's variables by name; empty for a frozen base, which has no checkpoint."""
    return read_checkpoint(checkpoint) if index_of(checkpoint).exists() else {}
