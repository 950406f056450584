"""The base's files: its card, its checkpoint or frozen graph, and the restore report."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from slimline.pipeline.artifact import Facts, digest_file, write_json
from slimline.stages.models.base_config import FROZEN_GRAPH, BaseConfig, FrozenGraphConfig
from slimline.stages.models.base_weights import published_for
from slimline.stages.models.card import Card, write_card
from slimline.stages.models.initial_weights import Source
from slimline.stages.models.pretrained import Pretrained, make_frozen_base, make_slim_base
from slimline.stages.models.self_test import self_test
from slimline.stages.networks.table import NETWORKS
from slimline.stages.networks.weights.checkpoint import write_checkpoint
from slimline.stages.networks.weights.user_weights import IMAGENET, RANDOM, Given

log = logging.getLogger(__name__)

LEAST_RANK = 5


def write_base(config: BaseConfig, out: Path) -> Facts:
    """Make the base that `config` chooses, write it into `out`, and test it on a known photo: see the stage.

    Raises:
        UserError: the weights don't fit the network, or it doesn't recognize the photo.
    """
    made = _frozen_base(config) if isinstance(config, FrozenGraphConfig) else _slim_base(config)
    if made.values:
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
        log.warning("base: %s is untrained (base.weights=random): its features are meaningless", config.network)
        return {**facts, "headline": "base      UNTRAINED: base.weights=random"}
    rank = NETWORKS[config.network].self_test_rank if config.weights_kind == IMAGENET else LEAST_RANK
    tested = self_test(out, rank) if made.card.labels else "none: no ImageNet layer"
    return {**facts, "self_test": tested}


def _slim_base(config: BaseConfig) -> Pretrained:
    path = Path(config.weights_path or "")
    source, label = Source(), RANDOM
    if config.weights_kind == IMAGENET:
        published = next(one for one in published_for(config) if Path(one.file).name == path.name)
        source, label = Source(published=(published, path)), f"{IMAGENET}: {path.name}"
    elif config.weights_kind != RANDOM:
        source, label = Source(given=Given(config.weights_kind or "", path)), path.name
    card = Card(
        network=config.network,
        preprocessing=config.preprocessing(),
        labels=[],
        head=None,
        weights=label,
        weights_sha256=config.weights_sha256 or "",
        multiplier=config.width(),
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
    graph = Path(config.graph)
    card = Card(FROZEN_GRAPH, config.preprocessing(), [], None, graph.name, digest_file(graph))
    labels = Path(config.labels) if config.labels else None
    return make_frozen_base(
        card, graph, input_name=config.input, bottleneck=config.bottleneck, output=config.output, labels=labels
    )
