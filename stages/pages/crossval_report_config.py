"""The configuration of `crossval_report`."""

from __future__ import annotations

from dataclasses import dataclass

from slimline.pipeline.config import require_range


@dataclass
class CrossvalReportConfig:
    """Numbers of photos to show, as in `report`; `train_all` is that of `crossval`."""

    train_all: bool = False
    mistakes: int = 24
    uncertain: int = 12
    per_cell: int = 12

    def __post_init__(self) -> None:
        for name in ("mistakes", "uncertain", "per_cell"):
            require_range(f"crossval_report.{name}", getattr(self, name), 0, 1000)
