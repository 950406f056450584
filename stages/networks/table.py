"""The networks that a base can be, in one table. Reading it imports no TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from slimline.stages.images.preprocessing_config import Preprocessing


@dataclass(frozen=True)
class NetworkRow:
    """What is known of a network: how to build it, what it takes, where its ImageNet layer is.

    `load()` imports and returns its function `(images, *, is_training, num_classes)`, with `multiplier` too
    where there are several: the width of its layers, as a part of the full network's. The last layer's variables live
    under `<scope>/<logits_scope>`, and `upper` is the scope inside `scope` from which on fine-tuning changes layers:
    below it lie edges and textures, which suit all photos. `self_test_rank` is the place that the known photo's name
    must reach: the first where the published weights could be tried, else one of the first five.
    """

    load: Callable[[], Callable[..., Any]]
    scope: str
    logits_scope: str
    preprocessing: Preprocessing
    published_top1: float
    upper: str
    multipliers: tuple[float, ...] = (1.0,)
    self_test_rank: int = 5


def _inception_v1() -> Callable[..., Any]:
    from slimline.stages.networks.architectures.inception import inception_v1

    return inception_v1


def _inception_v2() -> Callable[..., Any]:
    from slimline.stages.networks.architectures.inception import inception_v2

    return inception_v2


def _inception_v3() -> Callable[..., Any]:
    from slimline.stages.networks.architectures.inception import inception_v3

    return inception_v3


def _inception_v4() -> Callable[..., Any]:
    from slimline.stages.networks.architectures.inception_v4 import inception_v4

    return inception_v4


def _mobilenet_v1() -> Callable[..., Any]:
    from slimline.stages.networks.architectures.mobilenet_v1 import mobilenet_v1

    return mobilenet_v1


def _mobilenet_v2() -> Callable[..., Any]:
    from slimline.stages.networks.architectures.mobilenet_v2 import mobilenet_v2

    return mobilenet_v2


def _efficientnet_lite0() -> Callable[..., Any]:
    from slimline.stages.networks.architectures.efficientnet_lite import efficientnet_lite0

    return efficientnet_lite0


def _efficientnet_lite1() -> Callable[..., Any]:
    from slimline.stages.networks.architectures.efficientnet_lite import efficientnet_lite1

    return efficientnet_lite1


def _efficientnet_lite2() -> Callable[..., Any]:
    from slimline.stages.networks.architectures.efficientnet_lite import efficientnet_lite2

    return efficientnet_lite2


def _resnet_v1_50() -> Callable[..., Any]:
    from slimline.stages.networks.architectures.resnet import resnet_v1_50

    return resnet_v1_50


def _resnet_v2_50() -> Callable[..., Any]:
    from slimline.stages.networks.architectures.resnet import resnet_v2_50

    return resnet_v2_50


def _inception_preprocessing(input_px: int) -> Preprocessing:
    """Slim's preprocessing for Inception, which MobileNet and ResNet v2 share."""
    return Preprocessing(
        input_px=input_px, crop="each_side", crop_fraction=0.875, resize="legacy_bilinear", offset=127.5, scale=127.5
    )


def _lite_preprocessing(input_px: int) -> Preprocessing:
    return Preprocessing(input_px=input_px, crop_fraction=input_px / (input_px + 32), offset=127.0, scale=128.0)


VGG_MEANS = (123.68, 116.78, 103.94)
FIRST_1X1, SECOND_1X1 = "Logits/Conv2d_0c_1x1", "Logits/Conv2d_1c_1x1"

NETWORKS = {
    "efficientnet_lite0": NetworkRow(
        _efficientnet_lite0,
        "EfficientnetLite0",
        SECOND_1X1,
        _lite_preprocessing(224),
        75.1,
        "expanded_conv_5",
        self_test_rank=1,
    ),
    "efficientnet_lite1": NetworkRow(
        _efficientnet_lite1,
        "EfficientnetLite1",
        SECOND_1X1,
        _lite_preprocessing(240),
        76.7,
        "expanded_conv_7",
        self_test_rank=1,
    ),
    "efficientnet_lite2": NetworkRow(
        _efficientnet_lite2,
        "EfficientnetLite2",
        SECOND_1X1,
        _lite_preprocessing(260),
        77.6,
        "expanded_conv_7",
        self_test_rank=1,
    ),
    "mobilenet_v1": NetworkRow(
        _mobilenet_v1,
        "MobilenetV1",
        SECOND_1X1,
        _inception_preprocessing(224),
        70.9,
        "Conv2d_6_depthwise",
        multipliers=(1.0, 0.75, 0.5, 0.25),
    ),
    "mobilenet_v2": NetworkRow(
        _mobilenet_v2,
        "MobilenetV2",
        SECOND_1X1,
        _inception_preprocessing(224),
        71.9,
        "expanded_conv_6",
        multipliers=(1.4, 1.3, 1.0, 0.75, 0.5, 0.35),
    ),
    "inception_v1": NetworkRow(
        _inception_v1, "InceptionV1", FIRST_1X1, _inception_preprocessing(224), 69.8, "Mixed_4b"
    ),
    "inception_v2": NetworkRow(
        _inception_v2, "InceptionV2", SECOND_1X1, _inception_preprocessing(224), 73.9, "Mixed_4a"
    ),
    "inception_v3": NetworkRow(
        _inception_v3, "InceptionV3", SECOND_1X1, _inception_preprocessing(299), 78.0, "Mixed_6a"
    ),
    "inception_v4": NetworkRow(
        _inception_v4, "InceptionV4", "Logits/Logits", _inception_preprocessing(299), 80.2, "Mixed_6a"
    ),
    "resnet_v1_50": NetworkRow(
        _resnet_v1_50,
        "resnet_v1_50",
        "logits",
        Preprocessing(input_px=224, crop="vgg", resize="legacy_bilinear", offset=VGG_MEANS, scale=1.0),
        75.2,
        "block3",
    ),
    "resnet_v2_50": NetworkRow(_resnet_v2_50, "resnet_v2_50", "logits", _inception_preprocessing(299), 75.6, "block3"),
}
