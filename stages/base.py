"""Base: a pre-trained network, its weights checked and written as a TF-Slim checkpoint; or a frozen graph."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slimline.pipeline.artifact import Facts, digest_file, write_json
from slimline.pipeline.config import require_path
from slimline.pipeline.errors import UserError
from slimline.pipeline.stage import stage
from slimline.stages.models.base_config import (
    FROZEN_GRAPH,
    BaseConfig,
    FrozenGraphConfig,
    MobilenetConfig,
    chosen_network,
)
from slimline.stages.networks.table import NETWORKS
from slimline.stages.networks.weights.class_files import INCEPTION_2015_SYNSETS
from slimline.stages.networks.weights.published import Published, published_choices, published_weights
from slimline.stages.networks.weights.user_weights import IMAGENET, RANDOM, find_given

if TYPE_CHECKING:
    from slimline.stages.models.pretrained import Pretrained

log = logging.getLogger(__name__)

LEAST_RANK = 5


def settle_weights(config: BaseConfig, plan: bool) -> BaseConfig:
    """Find the weights and their checksum, downloading them if need be, so that the key holds what will be read."""
    if isinstance(config, FrozenGraphConfig):
        graph = find_graph(config.graph)
        labels = find_labels(config.labels, graph)
        return replace(config, graph=str(graph), labels=labels, weights_kind=FROZEN_GRAPH)
    if config.weights == RANDOM:
        return replace(config, weights_kind=RANDOM)
    if config.weights == IMAGENET:
        from slimline.stages.networks.weights.cache import locate

        _, path = locate(_choices(config), mirror=config.mirror, plan=plan)
        return replace(config, weights_kind=IMAGENET, weights_sha256=digest_file(path), weights_path=str(path))
    given = find_given("base.weights", config.weights)
    return replace(config, weights_kind=given.kind, weights_sha256=given.digest(), weights_path=str(given.path))


def _choices(config: BaseConfig) -> list[Published]:
    """List the published files for a choice; at a size that nobody published, those of the nearest size."""
    width, wanted_px = multiplier(config), config.preprocessing().input_px
    sizes = [size_px for one, size_px in published_choices(config.network) if one == width] or [wanted_px]
    nearest_px = min(sizes, key=lambda size_px: (abs(size_px - wanted_px), -size_px))
    return published_weights(config.network, width, nearest_px)


def _published(config: BaseConfig, path: Path) -> Published:
    """Return the published file that was located at `path`."""
    return next(one for one in _choices(config) if Path(one.file).name == path.name)


def find_graph(text: str) -> Path:
    """Return the frozen graph's file: the one given, or the only .pb in a folder.

    Raises:
        UserError: nothing is there, or several are.
    """
    path = require_path("base.graph", text)
    if not path.is_dir():
        return path
    if (path / "saved_model.pb").exists():
        raise UserError(
            f"base.graph={text} is a SavedModel, not a frozen graph.", "base.weights takes SavedModels of ours."
        )
    found = sorted(path.glob("*.pb"))
    if len(found) != 1:
        raise UserError(
            f"base.graph={text} holds {len(found)} files that end in .pb.",
            f"Give one: {', '.join(one.name for one in found)}." if found else "Give the frozen graph's file.",
        )
    return found[0]


def find_labels(text: str | None, graph: Path) -> str | None:
    """Return the file of a graph's class names, or the folder of the 2015 graph's two: its own, if they lie there."""
    if text is not None:
        return str(require_path("base.labels", text))
    return str(graph.parent) if (graph.parent / INCEPTION_2015_SYNSETS).is_file() else None


def multiplier(config: BaseConfig) -> float:
    """Return the width of the network's layers, 1 where there is but one."""
    return config.multiplier if isinstance(config, MobilenetConfig) else 1.0


@stage(
    resolve=settle_weights,
    choices=chosen_network,
    schemas={
        "mobilenet_v1": MobilenetConfig,
        "mobilenet_v2": MobilenetConfig,
        "frozen_graph": FrozenGraphConfig,
    },
)
def base(config: BaseConfig, out: Path) -> Facts:
    """Write `card.json`, and `model.ckpt` with `restore.json` or a frozen base's `graph.pb`.

    A base with an ImageNet layer is tried on a known photo first.

    Raises:
        UserError: the weights don't fit the network, or it doesn't recognise the photo.
    """
    from slimline.stages.models.card import write_card
    from slimline.stages.models.self_test import self_test

    made = _frozen_base(config) if isinstance(config, FrozenGraphConfig) else _slim_base(config)
    if made.values:
        from slimline.stages.networks.weights.checkpoint import write_checkpoint

        write_checkpoint(out / "model.ckpt", made.values)
        write_json(out / "restore.json", made.report)
    write_card(out, made.card)
    facts: dict[str, Any] = {
        "network": config.network,
        "weights": made.card.weights,
        **{state: len(names) for state, names in made.report.items()},
        "parameters": made.parameters,
        "multiply_adds": made.multiply_adds,
        "input_px": made.card.preprocessing.input_px,
        "feature_width": made.feature_width,
        "weights_sha256": made.card.weights_sha256,
    }
    if not made.card.trained:
        log.warning("base: %s is untrained, as base.weights=random asks: its features mean nothing", config.network)
        return {**facts, "headline": "base      UNTRAINED: base.weights=random"}
    rank = NETWORKS[config.network].self_test_rank if config.weights_kind == IMAGENET else LEAST_RANK
    tested = self_test(out, rank) if made.card.labels else "none: no ImageNet layer"
    return {**facts, "self_test": tested}


def _slim_base(config: BaseConfig) -> Pretrained:
    from slimline.stages.models.card import Card
    from slimline.stages.models.initial_weights import Source
    from slimline.stages.models.pretrained import make_slim_base
    from slimline.stages.networks.weights.user_weights import Given

    path = Path(config.weights_path or "")
    source, label = Source(), RANDOM
    if config.weights_kind == IMAGENET:
        source, label = Source(published=(_published(config, path), path)), f"{IMAGENET}: {path.name}"
    elif config.weights_kind != RANDOM:
        source, label = Source(given=Given(config.weights_kind or "", path)), path.name
    card = Card(
        network=config.network,
        preprocessing=config.preprocessing(),
        labels=[],
        head=None,
        weights=label,
        weights_sha256=config.weights_sha256 or "",
        multiplier=multiplier(config),
    )
    return make_slim_base(
        card,
        source,
        exclude_scopes=config.exclude_scopes,
        ignore_missing=config.ignore_missing,
        min_restored=config.min_restored,
        seed=config.seed,
    )


def _frozen_base(config: FrozenGraphConfig) -> Pretrained:
    from slimline.stages.models.card import Card
    from slimline.stages.models.pretrained import make_frozen_base

    graph = Path(config.graph)
    card = Card(FROZEN_GRAPH, config.preprocessing(), [], None, graph.name, digest_file(graph))
    labels = Path(config.labels) if config.labels else None
    return make_frozen_base(
        card, graph, input_name=config.input, bottleneck=config.bottleneck, output=config.output, labels=labels
    )
