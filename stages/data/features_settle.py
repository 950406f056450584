"""Choice of the precision for `auto` on this machine, made before the key."""

from __future__ import annotations

from dataclasses import replace

from slimline.stages.backend.hardware import has_fast_bfloat16
from slimline.stages.data.features_config import FeaturesConfig, Precision


def settle_precision(config: FeaturesConfig, plan: bool) -> FeaturesConfig:
    """Choose bfloat16 on processors with avx512_bf16 or AMX, float32 elsewhere."""
    if config.precision is not Precision.auto:
        return config
    return replace(config, precision=Precision.bfloat16 if has_fast_bfloat16() else Precision.float32)
