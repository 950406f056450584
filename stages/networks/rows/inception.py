"""Inception v1 to v4."""

from __future__ import annotations

from slimline.stages.networks.rows.row import SECOND_1X1, NetworkRow, inception_preprocessing

ARCHITECTURES = "slimline.stages.networks.architectures"

INCEPTION_V1 = NetworkRow(
    f"{ARCHITECTURES}.inception:inception_v1",
    "InceptionV1",
    "Logits/Conv2d_0c_1x1",
    inception_preprocessing(224),
    69.8,
    "Mixed_4b",
)
INCEPTION_V2 = NetworkRow(
    f"{ARCHITECTURES}.inception:inception_v2", "InceptionV2", SECOND_1X1, inception_preprocessing(224), 73.9, "Mixed_4a"
)
INCEPTION_V3 = NetworkRow(
    f"{ARCHITECTURES}.inception:inception_v3", "InceptionV3", SECOND_1X1, inception_preprocessing(299), 78.0, "Mixed_6a"
)
INCEPTION_V4 = NetworkRow(
    f"{ARCHITECTURES}.inception_v4:inception_v4",
    "InceptionV4",
    "Logits/Logits",
    inception_preprocessing(299),
    80.2,
    "Mixed_6a",
)
