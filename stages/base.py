"""Base: a pre-trained network, its weights checked and written as a TF-Slim checkpoint; or a frozen graph."""

from __future__ import annotations

from pathlib import Path

from slimline.pipeline.artifact import Facts
from slimline.pipeline.stage import stage
from slimline.stages.models.base_config import BaseConfig, FrozenGraphConfig, MobilenetConfig, chosen_network
from slimline.stages.models.base_settle import settle_weights


@stage(
    resolve=settle_weights,
    choices=chosen_network,
    schemas={
        "mobilenet_v1": MobilenetConfig,
        "mobilenet_v2": MobilenetConfig,
        "frozen_graph": FrozenGraphConfig,
    },
    shown=("network", "input_px", "restored", "new", "parameters"),
)
def base(config: BaseConfig, out: Path) -> Facts:
    """Write `card.json`, and `model.ckpt` with `restore.json` or a frozen base's `graph.pb`.

    A base with an ImageNet layer must recognize a known photo.

    Raises:
        UserError: the weights don't fit the network, or it doesn't recognize the photo.
    """
    from slimline.stages.models.base import write_base

    return write_base(config, out)
