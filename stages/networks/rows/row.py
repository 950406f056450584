"""A row of the table of networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from slimline.stages.images.preprocessing_config import Preprocessing

SECOND_1X1 = "Logits/Conv2d_1c_1x1"
"""The scope of the last layer in most of the zoo's networks."""


@dataclass(frozen=True)
class NetworkRow:
    """A network: its function, its preprocessing, and the scope of its ImageNet layer.

    `function` is its function's `module:name`, so that a row doesn't import TensorFlow. The function takes `(images, *,
    is_training, num_classes)`. If there are several `multipliers`, it also takes `multiplier`, one of them: the width
    of its layers, relative to the full network. The last layer's variables are in `<scope>/<logits_scope>`. `upper` is
    the scope inside `scope` at which fine-tuning starts to change layers: those below it detect edges and textures,
    which are useful for all photos. `self_test_rank` is the rank that the known photo's name must reach: 1 if the
    published weights could be tested, else 5.
    """

    function: str
    scope: str
    logits_scope: str
    preprocessing: Preprocessing
    published_top1: float | None
    upper: str
    multipliers: tuple[float, ...] = (1.0,)
    self_test_rank: int = 5

    def load(self) -> Callable[..., Any]:
        """Import the network's module and return its function."""
        module, _, name = self.function.partition(":")
        function: Callable[..., Any] = getattr(import_module(module), name)
        return function


def inception_preprocessing(input_px: int) -> Preprocessing:
    """Return Slim's preprocessing for Inception, which MobileNet and ResNet v2 use too."""
    return Preprocessing(
        input_px=input_px, crop="each_side", crop_fraction=0.875, resize="legacy_bilinear", offset=127.5, scale=127.5
    )
