"""Which file a base's weights come from, settled before the key is made."""

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
    """Find the weights and their checksum, downloading them if need be, so that the key holds what will be read."""
    if isinstance(config, FrozenGraphConfig):
        graph = find_graph(config.graph)
        labels = find_labels(config.labels, graph)
        return replace(config, graph=str(graph), labels=labels, weights_kind=FROZEN_GRAPH)
    if config.weights == RANDOM:
        return replace(config, weights_kind=RANDOM)
    if config.weights == IMAGENET:
        from slimline.stages.networks.weights.cache import locate  # requests: composing a config does without

        _, path = locate(published_for(config), host=config.download_host, plan=plan)
        return replace(config, weights_kind=IMAGENET, weights_sha256=digest_file(path), weights_path=str(path))
    given = find_given("base.weights", config.weights)
    return replace(config, weights_kind=given.kind, weights_sha256=given.digest(), weights_path=str(given.path))


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
