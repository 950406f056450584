"""The configuration of `export`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from slimline.pipeline.config import require_range
from slimline.pipeline.errors import UserError
from slimline.pipeline.stage import renamed
from slimline.stages.models.formats import EIGHT_BITS, Format

ROUNDING = 1e-9
"""So that 0.07 of 100 photos are 7, though their product is a little less."""


@dataclass
class ExportConfig:
    """The formats, and the share of photos that each may classify differently from the evaluated model.

    One photo may differ even if the share is less than one photo; a share of 0 allows none.
    """

    formats: list[Format] = field(default_factory=lambda: [Format.saved_model])
    max_changed: float = renamed(0.005, "max_flips")
    max_changed_int8: float = renamed(0.03, "max_flips_int8")
    calibration_photos: int = 200
    batch_size: int = 16

    def __post_init__(self) -> None:
        if not self.formats or len(set(self.formats)) < len(self.formats):
            raise UserError(
                f"export.formats={[one.name for one in self.formats]} must name at least one format, and none twice.",
                f"Choose from: {', '.join(one.name for one in Format)}.",
            )
        require_range("export.max_changed", self.max_changed, 0.0, 1.0)
        require_range("export.max_changed_int8", self.max_changed_int8, 0.0, 1.0)
        require_range("export.calibration_photos", self.calibration_photos, 1, 100_000)
        require_range("export.batch_size", self.batch_size, 1, 4096)

    def most_changed(self, one: Format, photos: int) -> int:
        """Return how many of the evaluated photos a format may classify differently."""
        share = self.max_changed_int8 if one in EIGHT_BITS else self.max_changed
        return max(1, math.floor(share * photos + ROUNDING)) if share else 0
