"""ResNet-50 v1 and v2."""

from __future__ import annotations

from slimline.stages.images.preprocessing_config import Preprocessing
from slimline.stages.networks.rows.row import NetworkRow, inception_preprocessing

ARCHITECTURE = "slimline.stages.networks.architectures.resnet"
VGG_MEANS = (123.68, 116.78, 103.94)

RESNET_V1_50 = NetworkRow(
    f"{ARCHITECTURE}:resnet_v1_50",
    "resnet_v1_50",
    "logits",
    Preprocessing(input_px=224, crop="vgg", resize="legacy_bilinear", offset=VGG_MEANS, scale=1.0),
    75.2,
    "block3",
)
RESNET_V2_50 = NetworkRow(
    f"{ARCHITECTURE}:resnet_v2_50", "resnet_v2_50", "logits", inception_preprocessing(299), 75.6, "block3"
)
