"""The table of augmentations.

A store key contains the chosen row and function, not this table: don't add anything else to this file.
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
