"""Locate the files of a base's weights, before the key is made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from slimline.pipeline.artifact import digest_file
from slimline.pipeline.config import require_path
from slimline.pipeline.errors import UserError
from slimline.stages.models.base_config import FROZEN_GRAPH, BaseConfig, FrozenGraphConfig
from slimline.stages.models.base_weights import published_for
from slimline.stages.networks.weights.class_files import INCEPTION_2015_SYNSETS
from slimline.stages.networks.weights.user_weights import IMAGENET, RANDOM, find_given


def settle_weights(config: BaseConfig, plan: bool) -> BaseConfig:
    """Find the weights, downloading them if necessary, and their checksum, which becomes part of the key."""
    if isinstance(config, FrozenGraphConfig):
        graph = find_graph(config.graph)
        labels = find_labels(config.labels, graph)
        return replace(config, graph=str(graph), labels=labels, weights_kind=FROZEN_GRAPH)
    if config.weights == RANDOM:
        return replace(config, weights_kind=RANDOM)
    if config.weights == IMAGENET:
        from slimline.stages.networks.weights.cache import locate  # imports requests, which composing doesn't need

        _, path = locate(published_for(config), host=config.download_host, plan=plan)
        return replace(config, weights_kind=IMAGENET, weights_sha256=digest_file(path), weights_path=str(path))
    given = find_given("base.weights", config.weights)
    return replace(config, weights_kind=given.kind, weights_sha256=given.digest(), weights_path=str(given.path))


def find_graph(text: str) -> Path:
    """Return the frozen graph's file: the one given, or the only .pb in a folder.

    Raises:
        UserError: it doesn't exist, or the folder has several.
    """
    path = require_path("base.graph", text)
    if not path.is_dir():
        return path
    if (path / "saved_model.pb").exists():
        raise UserError(
            f"base.graph={text} is a SavedModel, not a frozen graph.",
            "If Slimline exported it, use it as base.weights.",
        )
    found = sorted(path.glob("*.pb"))
    if len(found) != 1:
        raise UserError(
            f"base.graph={text} contains {len(found)} files that end in .pb.",
            f"Choose one: {', '.join(one.name for one in found)}."
            if found
            else "Set base.graph to the frozen graph's file.",
        )
    return found[0]


def find_labels(text: str | None, graph: Path) -> str | None:
    """Return the file of a graph's class names, or the 2015 graph's folder, if that contains its two label files."""
    if text is not None:
        return str(require_path("base.labels", text))
    return str(graph.parent) if (graph.parent / INCEPTION_2015_SYNSETS).is_file() else None
