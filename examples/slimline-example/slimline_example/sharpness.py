"""Sharpness: measure how sharp each photo is, and count the blurred ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from slimline.pipeline.artifact import Artifact, Facts
from slimline.pipeline.config import require_range
from slimline.pipeline.stage import stage


@dataclass
class SharpnessConfig:
    """A photo is blurred if its sharpness is below `threshold`; it is measured at `side_px` by `side_px` pixels."""

    threshold: float = 100.0
    side_px: int = 224

    def __post_init__(self) -> None:
        require_range("sharpness.threshold", self.threshold, 0, 1e6)
        require_range("sharpness.side_px", self.side_px, 32, 4096, "pixels")


@stage()
def sharpness(config: SharpnessConfig, out: Path, *, ingest: Artifact) -> Facts:
    """Write `sharpness.csv`: split, path and sharpness of each photo, the most blurred first."""
    from slimline_example.measure import write_sharpness

    return write_sharpness(ingest.path, out, config.threshold, config.side_px)
