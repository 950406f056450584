"""How a network wants its images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Any


class Crop(Enum):
    """Which part of a photo a network sees: see `Preprocessing`."""

    square = "square"
    each_side = "each_side"
    vgg = "vgg"
    whole = "whole"


class Resize(Enum):
    """How the crop becomes the input: see `Preprocessing`."""

    bicubic = "bicubic"
    legacy_bilinear = "legacy_bilinear"


class Orientation(Enum):
    """Whether a JPEG is turned as its EXIF header says."""

    exif = "exif"
    ignore = "ignore"


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How a network wants its images: upright, cropped, resized to a square, then (x - offset) / scale, x in 0 to 255.

    `crop` says what is kept of [height, width]:
    - `square`: in the middle, a square of `crop_fraction` of the shorter side (EfficientNet-Lite).
    - `each_side`: `crop_fraction` of the height and of the width (the zoo's inception_preprocessing).
    - `vgg`: the image is resized, in its proportions, to a shorter side of `input_px / crop_fraction` (256 for 224,
      at the default), and `input_px` square is cut from its middle (the zoo's vgg_preprocessing).
    - `whole`: everything.

    `resize` is `bicubic`, or `legacy_bilinear`: TensorFlow 1's, without half-pixel centres. `offset` is one number or
    three (RGB). `orientation` is `exif`, to heed what a JPEG says of its camera, or `ignore`.

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
            raise ValueError(f"input_px={self.input_px!r}: a whole number of pixels from 1 up is allowed.")
        if not _is_number(self.crop_fraction) or not 0 < self.crop_fraction <= 1:
            raise ValueError(f"crop_fraction={self.crop_fraction!r}: a number above 0, up to 1, is allowed.")
        if len(offsets) not in (1, 3) or not all(map(_is_number, offsets)):
            raise ValueError(f"offset={self.offset!r}: one number is allowed, or three (red, green, blue).")
        if not _is_number(self.scale) or self.scale <= 0:
            raise ValueError(f"scale={self.scale!r}: a number above 0 is allowed.")
        if self.crop == "vgg" and self.resize != "legacy_bilinear":
            raise ValueError(f"resize={self.resize!r}: with crop='vgg', 'legacy_bilinear' alone is allowed.")


def _require_one_of(name: str, value: str, allowed: type[Enum]) -> None:
    values = [one.value for one in allowed]
    if value not in values:
        raise ValueError(f"{name}={value!r}: allowed are {', '.join(values)}.")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
