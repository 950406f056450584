"""Resolution of `auto` before a training's key is computed."""

from __future__ import annotations

import pytest

from slimline.stages.backend import hardware
from slimline.stages.training.config import CacheConfig, FusedConfig, Switch, TrainConfig
from slimline.stages.training.settle import settle_fused


@pytest.mark.parametrize(
    ("network", "avx512", "fast", "pointwise", "bfloat16"),
    [
        ("inception_v3", True, True, Switch.never, Switch.always),
        ("inception_v3", True, False, Switch.never, Switch.never),
        ("mobilenet_v1", True, True, Switch.never, Switch.never),
        ("efficientnet_lite0", True, True, Switch.never, Switch.never),
        ("efficientnet_lite0", False, False, Switch.always, Switch.never),
    ],
)
def test_auto_depends_on_the_network_and_the_processor(monkeypatch, network, avx512, fast, pointwise, bfloat16):
    monkeypatch.setattr(hardware, "has_avx512", lambda: avx512)
    monkeypatch.setattr(hardware, "has_fast_bfloat16", lambda: fast)
    settled = settle_fused(TrainConfig(network=network), False)
    assert settled.fused == FusedConfig(Switch.always, pointwise, bfloat16, Switch.never, Switch.always)
    assert settled.cache.bfloat16 is (Switch.always if fast else Switch.never)


def test_explicit_choices_do_not_change(monkeypatch):
    monkeypatch.setattr(hardware, "has_fast_bfloat16", lambda: True)
    chosen = FusedConfig(Switch.never, Switch.always, Switch.always, Switch.always, Switch.never)
    config = TrainConfig(network="mobilenet_v1", fused=chosen, cache=CacheConfig(bfloat16=Switch.never))
    assert settle_fused(config, True) == config
