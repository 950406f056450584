"""EfficientNet-Lite0 to Lite2."""

from __future__ import annotations

from slimline.stages.images.preprocessing_config import Preprocessing
from slimline.stages.networks.rows.row import SECOND_1X1, NetworkRow

ARCHITECTURE = "slimline.stages.networks.architectures.efficientnet_lite"


def _preprocessing(input_px: int) -> Preprocessing:
    return Preprocessing(input_px=input_px, crop_fraction=input_px / (input_px + 32), offset=127.0, scale=128.0)


EFFICIENTNET_LITE0 = NetworkRow(
    f"{ARCHITECTURE}:efficientnet_lite0",
    "EfficientnetLite0",
    SECOND_1X1,
    _preprocessing(224),
    75.1,
    "expanded_conv_5",
    self_test_rank=1,
)
EFFICIENTNET_LITE1 = NetworkRow(
    f"{ARCHITECTURE}:efficientnet_lite1",
    "EfficientnetLite1",
    SECOND_1X1,
    _preprocessing(240),
    76.7,
    "expanded_conv_7",
    self_test_rank=1,
)
EFFICIENTNET_LITE2 = NetworkRow(
    f"{ARCHITECTURE}:efficientnet_lite2",
    "EfficientnetLite2",
    SECOND_1X1,
    _preprocessing(260),
    77.6,
    "expanded_conv_7",
    self_test_rank=1,
)
