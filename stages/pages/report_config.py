"""The report's configuration."""

from __future__ import annotations

from dataclasses import dataclass

from slimline.pipeline.config import require_range


@dataclass
class ReportConfig:
    """How many photos to show: mistakes, least certain ones, behind a number of the confusion matrix, looked into."""

    mistakes: int = 24
    uncertain: int = 12
    per_cell: int = 12
    looks: int = 4

    def __post_init__(self) -> None:
        for name in ("mistakes", "uncertain", "per_cell", "looks"):
            require_range(f"report.{name}", getattr(self, name), 0, 1000)
