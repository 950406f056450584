"""Resolution of `auto` for each switch, before anything runs."""

from __future__ import annotations

from dataclasses import replace

from slimline.stages.fusion.config import FusionsConfig
from slimline.stages.training.config import TrainConfig
from slimline.stages.training.settle import settle_fused


def settle_switches(config: FusionsConfig, plan: bool) -> FusionsConfig:
    """Replace each `auto` in `fused` by the choice that train would make."""
    return replace(
        config, fused=settle_fused(TrainConfig(fused=config.fused, network=config.network, seed=0), plan).fused
    )
