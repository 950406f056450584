"""What `auto` is of each switch, settled before anything runs."""

from __future__ import annotations

from dataclasses import replace

from slimline.stages.fusion.config import FusionsConfig
from slimline.stages.training.config import TrainConfig
from slimline.stages.training.settle import settle_fused


def settle_switches(config: FusionsConfig, plan: bool) -> FusionsConfig:
    """Choose what is `auto` in `fused` as train does."""
    return replace(
        config, fused=settle_fused(TrainConfig(fused=config.fused, network=config.network, seed=0), plan).fused
    )
