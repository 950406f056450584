"""The table of heads.

A store key contains the chosen row and factory, not this table: don't add anything else to this file.
"""

from __future__ import annotations

from slimline.pipeline.table import Table
from slimline.stages.models.head_row import HeadRow

ROWS = "slimline.stages.models.head_rows"

HEADS: Table[str, HeadRow] = Table(
    {"linear": f"{ROWS}:LINEAR", "mlp": f"{ROWS}:MLP"}, group="slimline.heads", kind=HeadRow
)
