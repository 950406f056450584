"""The preprocessing that a network's input needs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Any


class Crop(Enum):
    """The part of a photo that a network sees: see `Preprocessing`."""

    square = "square"
    each_side = "each_side"
    vgg = "vgg"
    whole = "whole"


class Resize(Enum):
    """The method that resizes the crop to the input: see `Preprocessing`."""

    bicubic = "bicubic"
    legacy_bilinear = "legacy_bilinear"


class Orientation(Enum):
    """Whether a JPEG is turned upright as its EXIF header says."""

    exif = "exif"
    ignore = "ignore"


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """A network's preprocessing: upright, cropped, resized to a square, then (x - offset) / scale, x from 0 to 255.

    `crop` is the part of [height, width] that is kept:
    - `square`: a central square of `crop_fraction` of the shorter side (EfficientNet-Lite).
    - `each_side`: the central `crop_fraction` of the height and of the width (the zoo's inception_preprocessing).
    - `vgg`: the image is resized, with its aspect ratio kept, to a shorter side of `input_px / crop_fraction` (256 for
      224, at the default), and its central `input_px` square is kept (the zoo's vgg_preprocessing).
    - `whole`: the whole image.

    `resize` is `bicubic`, or `legacy_bilinear`: TensorFlow 1's, without half-pixel centers. `offset` is one number or
    three (RGB). `orientation` is `exif`, which turns a JPEG upright as its header says, or `ignore`.

    Raises:
        ValueError: a value isn't allowed.
    """

    input_px: int
    crop: str = "square"
    crop_fraction: float = 0.875
    resize: str = "bicubic"
    offset: float | tuple[float, ...]
    scale: float
    orientation: str = "exif"

    def __post_init__(self) -> None:
        if isinstance(self.offset, list | tuple):
            object.__setattr__(self, "offset", tuple(self.offset))  # JSON gives a list
        offsets = self.offset if isinstance(self.offset, tuple) else (self.offset,)
        _require_one_of("crop", self.crop, Crop)
        _require_one_of("resize", self.resize, Resize)
        _require_one_of("orientation", self.orientation, Orientation)
        if isinstance(self.input_px, bool) or not isinstance(self.input_px, int) or self.input_px < 1:
            raise ValueError(f"input_px={self.input_px!r} must be a whole number of pixels, at least 1.")
        if not _is_number(self.crop_fraction) or not 0 < self.crop_fraction <= 1:
            raise ValueError(f"crop_fraction={self.crop_fraction!r} must be a number above 0 and at most 1.")
        if len(offsets) not in (1, 3) or not all(map(_is_number, offsets)):
            raise ValueError(f"offset={self.offset!r} must be one number, or three (red, green, blue).")
        if not _is_number(self.scale) or self.scale <= 0:
            raise ValueError(f"scale={self.scale!r} must be a number above 0.")
        if self.crop == "vgg" and self.resize != "legacy_bilinear":
            raise ValueError(f"resize={self.resize!r} can't be used with crop='vgg'; use 'legacy_bilinear'.")


def _require_one_of(name: str, value: str, allowed: type[Enum]) -> None:
    values = [one.value for one in allowed]
    if value not in values:
        raise ValueError(f"{name}={value!r} is not valid. Valid values: {', '.join(values)}.")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
