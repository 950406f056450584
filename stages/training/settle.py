"""Resolution of `auto` settings for this machine, before the store key is computed: the config holds the choice."""

from __future__ import annotations

from dataclasses import replace

from slimline.stages.backend import hardware
from slimline.stages.training.config import Switch, TrainConfig

DEPTHWISE = ("mobilenet", "efficientnet")
"""Name prefixes of the networks that consist mostly of depthwise convolutions."""


def settle_fused(config: TrainConfig, plan: bool) -> TrainConfig:
    """Replace each `auto` by `always` or `never`, from measurements, so that the store key contains the choice.

    `pointwise`: without AVX-512, a step that computes the gradients of 1x1 convolutions as matrix products took 0.93
    times the processor time for EfficientNet-Lite0 and 0.89 times for MobileNet-v2 (two cores of an AMD EPYC, Zen 3).
    With AVX-512 it was not measured.

    `bfloat16`: a training step took 0.59 times the processor time for Inception-v3, 1.09 times for MobileNet-v2 and
    1.49 times for EfficientNet-Lite0, because oneDNN has no bfloat16 gradients of depthwise convolutions (two cores
    with avx512_bf16, `+experiment=fusions`). The layers below the cut run only forward, and are faster in bfloat16
    wherever the processor supports it.

    `xla`: on these cores a step took 25 times as long. With a GPU the step is compiled, though this was not measured.
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
