"""Augmentation configs: the options of `train/augmentation`."""

from __future__ import annotations

from dataclasses import dataclass

from slimline.pipeline.config import require_range
from slimline.pipeline.errors import UserError


@dataclass
class AugmentationConfig:
    """No augmentation: each photo is preprocessed as in evaluation."""


@dataclass
class ViewConfig(AugmentationConfig):
    """A random crop: its share of the photo's area, its ratio of width to height, and whether half are mirrored."""

    min_area: float = 0.3
    max_area: float = 1.0
    aspect_min: float = 0.75
    aspect_max: float = 1.333
    flip: bool = True

    def __post_init__(self) -> None:
        require_range("train.augmentation.min_area", self.min_area, 1e-4, 1)
        require_range("train.augmentation.max_area", self.max_area, 1e-4, 1)
        require_range("train.augmentation.aspect_min", self.aspect_min, 0.01, 100)
        require_range("train.augmentation.aspect_max", self.aspect_max, 0.01, 100)
        _require_order("min_area", self.min_area, "max_area", self.max_area)
        _require_order("aspect_min", self.aspect_min, "aspect_max", self.aspect_max)


@dataclass
class CropConfig(ViewConfig):
    """A random crop, then color changes of up to these amounts; 0 turns a change off.

    `brightness` is added, as a share of the whole range. `contrast` (about each channel's mean) and `saturation`
    (about the gray value of each pixel) are factors from 1 - amount to 1 + amount. `hue` is an angle, in turns.
    """

    brightness: float = 0.125
    contrast: float = 0.3
    saturation: float = 0.4
    hue: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_range("train.augmentation.brightness", self.brightness, 0, 1)
        require_range("train.augmentation.contrast", self.contrast, 0, 1)
        require_range("train.augmentation.saturation", self.saturation, 0, 1)
        require_range("train.augmentation.hue", self.hue, 0, 0.5, "turns")


@dataclass
class InceptionConfig(AugmentationConfig):
    """The model zoo's distortions for Inception; `fast` uses one resize method and doesn't change hue and contrast.

    Source: https://github.com/tensorflow/models/blob/master/research/slim/preprocessing/inception_preprocessing.py
    """

    fast: bool = True


@dataclass
class RetrainConfig(AugmentationConfig):
    """The distortions of TensorFlow Hub's retrain.py, named as its flags; amounts are percentages, 0 turns one off.

    Source: https://github.com/tensorflow/hub/blob/master/examples/image_retraining/retrain.py
    """

    flip_left_right: bool = False
    random_crop: int = 0
    random_scale: int = 0
    random_brightness: int = 0

    def __post_init__(self) -> None:
        require_range("train.augmentation.random_crop", self.random_crop, 0, 100, "percent")
        require_range("train.augmentation.random_scale", self.random_scale, 0, 100, "percent")
        require_range("train.augmentation.random_brightness", self.random_brightness, 0, 100, "percent")


@dataclass
class RandAugmentConfig(ViewConfig):
    """A random crop, then `layers` random operations of RandAugment, https://arxiv.org/abs/1909.13719."""

    layers: int = 2
    magnitude: float = 9.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_range("train.augmentation.layers", self.layers, 0, 14)
        require_range("train.augmentation.magnitude", self.magnitude, 0, 30)


def _require_order(low_key: str, low: float, high_key: str, high: float) -> None:
    if low > high:
        raise UserError(
            f"train.augmentation.{low_key}={low:g} is above train.augmentation.{high_key}={high:g}.",
            f"Set {low_key} to at most {high:g}, or choose a larger {high_key}.",
        )
