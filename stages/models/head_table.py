"""The heads that can be set on a base, in one table.

A store key holds the row and the factory that were chosen, not this list: keep everything else out of this file.
"""

from __future__ import annotations

from slimline.pipeline.table import Table
from slimline.stages.models.head_row import HeadRow

ROWS = "slimline.stages.models.head_rows"

HEADS: Table[str, HeadRow] = Table(
    {"linear": f"{ROWS}:LINEAR", "mlp": f"{ROWS}:MLP"}, group="slimline.heads", kind=HeadRow
)
