"""Settings of the `features` stage."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from slimline.pipeline.config import require_range


class Precision(Enum):
    """Number format in which the base computes; `auto` is bfloat16 if the processor multiplies it faster."""

    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"


@dataclass
class FeaturesConfig:
    """How to compute the features; `precision` is settled before the key is made.

    With `flips` the features of each training photo's mirror image are computed too, and heads train on both.
    """

    precision: Precision = Precision.auto
    batch_size: int = 32
    flips: bool = False

    def __post_init__(self) -> None:
        require_range("features.batch_size", self.batch_size, 1, 4096)
