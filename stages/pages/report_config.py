"""The configuration of `report`."""

from __future__ import annotations

from dataclasses import dataclass

from slimline.pipeline.config import require_range


@dataclass
class ReportConfig:
    """Numbers of photos to show.

    `mistakes` are the most confident mistakes, `uncertain` the least confident predictions, `per_cell` the photos for
    each number of the confusion matrix, `looks` the occlusion maps.
    """

    mistakes: int = 24
    uncertain: int = 12
    per_cell: int = 12
    looks: int = 4

    def __post_init__(self) -> None:
        for name in ("mistakes", "uncertain", "per_cell", "looks"):
            require_range(f"report.{name}", getattr(self, name), 0, 1000)
