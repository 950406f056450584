"""A row: what is known of a network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from slimline.stages.images.preprocessing_config import Preprocessing

SECOND_1X1 = "Logits/Conv2d_1c_1x1"
"""Where most of the zoo's networks have their last layer."""


@dataclass(frozen=True)
class NetworkRow:
    """What is known of a network: how to build it, what it takes, where its ImageNet layer is.

    `function` is its function's `module:name`, so that a row imports no TensorFlow. The function takes `(images, *,
    is_training, num_classes)`, and where there are several `multipliers`, one of them: the width of its layers, as a
    part of the full network's. The last layer's variables are under `<scope>/<logits_scope>`, and `upper` is the scope
    inside `scope` from which on fine-tuning changes layers: those below it find edges and textures, which suit all
    photos. `self_test_rank` is the rank that the known photo's name must reach: 1 where the published weights could be
    tried, else 5.
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
    """Return Slim's preprocessing for Inception, which MobileNet and ResNet v2 share."""
    return Preprocessing(
        input_px=input_px, crop="each_side", crop_fraction=0.875, resize="legacy_bilinear", offset=127.5, scale=127.5
    )
