"""The built-in augmentations."""

from __future__ import annotations

from slimline.stages.images.augmentation_config import (
    AugmentationConfig,
    CropConfig,
    InceptionConfig,
    RandAugmentConfig,
    RetrainConfig,
)
from slimline.stages.images.augmentation_row import AugmentationRow

IMAGES = "slimline.stages.images"

NONE = AugmentationRow(AugmentationConfig, f"{IMAGES}.preprocessing:preprocess")
CROP = AugmentationRow(CropConfig, f"{IMAGES}.views:crop")
RANDAUGMENT = AugmentationRow(RandAugmentConfig, f"{IMAGES}.randaugment:randaugment")
INCEPTION = AugmentationRow(InceptionConfig, f"{IMAGES}.distortions:inception")
RETRAIN = AugmentationRow(RetrainConfig, f"{IMAGES}.distortions:retrain")
