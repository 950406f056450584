"""What a training's `auto` becomes on this machine: settled before the key is made, so that the config holds it."""

from __future__ import annotations

from dataclasses import replace

from slimline.stages.backend import hardware
from slimline.stages.training.config import Switch, TrainConfig

DEPTHWISE = ("mobilenet", "efficientnet")
"""What the names of networks begin with that consist mostly of depthwise convolutions."""


def settle_fused(config: TrainConfig, plan: bool) -> TrainConfig:
    """Choose what is `auto` by what was measured, so that the key holds it.

    Where there is no AVX-512, a step whose gradients of 1x1 convolutions are products took 0.93 times the processor
    time for EfficientNet-Lite0 and 0.89 times for MobileNet-v2 (two cores of an AMD EPYC, Zen 3); where there is, that
    wasn't measured.

    In bfloat16 a training step took 0.59 times the processor time for Inception-v3, 1.09 times for MobileNet-v2 and
    1.49 times for EfficientNet-Lite0, as oneDNN has no gradients of depthwise convolutions in it (two cores with
    avx512_bf16, `+experiment=fusions`). Lower parts, which only run forwards, gain wherever the processor has it. On
    these cores XLA took 25 times as long; with a GPU, where it could not be tried, the step is compiled.
    """
    gpu, fast = hardware.has_gpu(), hardware.has_fast_bfloat16()
    fused = replace(
        config.fused,
        batch_norm=_settled(config.fused.batch_norm, True),
        pointwise=_settled(config.fused.pointwise, not gpu and not hardware.has_avx512()),
        bfloat16=_settled(config.fused.bfloat16, fast and not gpu and not config.network.startswith(DEPTHWISE)),
        xla=_settled(config.fused.xla, gpu),
        epoch=_settled(config.fused.epoch, True),
    )
    cache = replace(config.cache, bfloat16=_settled(config.cache.bfloat16, fast))
    return replace(config, fused=fused, cache=cache)


def _settled(switch: Switch, better: bool) -> Switch:
    return (Switch.always if better else Switch.never) if switch is Switch.auto else switch
