"""The published weights for a base's config."""

from __future__ import annotations

from slimline.stages.models.base_config import BaseConfig
from slimline.stages.networks.weights.published import Published, published_choices, published_weights


def published_for(config: BaseConfig) -> list[Published]:
    """List the published files for a config; for a size without published weights, those of the nearest size."""
    width, wanted_px = config.width(), config.preprocessing().input_px
    sizes = [size_px for one, size_px in published_choices(config.network) if one == width] or [wanted_px]
    nearest_px = min(sizes, key=lambda size_px: (abs(size_px - wanted_px), -size_px))
    return published_weights(config.network, width, nearest_px)
