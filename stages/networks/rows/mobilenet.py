"""MobileNet v1 and v2."""

from __future__ import annotations

from slimline.stages.networks.rows.row import SECOND_1X1, NetworkRow, inception_preprocessing

ARCHITECTURES = "slimline.stages.networks.architectures"

MOBILENET_V1 = NetworkRow(
    f"{ARCHITECTURES}.mobilenet_v1:mobilenet_v1",
    "MobilenetV1",
    SECOND_1X1,
    inception_preprocessing(224),
    70.9,
    "Conv2d_6_depthwise",
    multipliers=(1.0, 0.75, 0.5, 0.25),
)
MOBILENET_V2 = NetworkRow(
    f"{ARCHITECTURES}.mobilenet_v2:mobilenet_v2",
    "MobilenetV2",
    SECOND_1X1,
    inception_preprocessing(224),
    71.9,
    "expanded_conv_6",
    multipliers=(1.4, 1.3, 1.0, 0.75, 0.5, 0.35),
)
