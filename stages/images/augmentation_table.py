"""The augmentations of training photos, in one table.

A store key holds the row and the function that were chosen, not this list: keep everything else out of this file.
"""

from __future__ import annotations

from slimline.pipeline.table import Table
from slimline.stages.images.augmentation_row import AugmentationRow

ROWS = "slimline.stages.images.augmentation_rows"

AUGMENTATIONS: Table[str, AugmentationRow] = Table(
    {
        "none": f"{ROWS}:NONE",
        "crop": f"{ROWS}:CROP",
        "inception": f"{ROWS}:INCEPTION",
        "retrain": f"{ROWS}:RETRAIN",
        "randaugment": f"{ROWS}:RANDAUGMENT",
    },
    group="slimline.augmentations",
    kind=AugmentationRow,
)
