"""The table of networks.

A store key contains the chosen row and architecture, not this table: don't add anything else to this file.
"""

from __future__ import annotations

from slimline.pipeline.table import Table
from slimline.stages.networks.rows.row import NetworkRow

ROWS = "slimline.stages.networks.rows"

NETWORKS: Table[str, NetworkRow] = Table(
    {
        "efficientnet_lite0": f"{ROWS}.efficientnet_lite:EFFICIENTNET_LITE0",
        "efficientnet_lite1": f"{ROWS}.efficientnet_lite:EFFICIENTNET_LITE1",
        "efficientnet_lite2": f"{ROWS}.efficientnet_lite:EFFICIENTNET_LITE2",
        "mobilenet_v1": f"{ROWS}.mobilenet:MOBILENET_V1",
        "mobilenet_v2": f"{ROWS}.mobilenet:MOBILENET_V2",
        "inception_v1": f"{ROWS}.inception:INCEPTION_V1",
        "inception_v2": f"{ROWS}.inception:INCEPTION_V2",
        "inception_v3": f"{ROWS}.inception:INCEPTION_V3",
        "inception_v4": f"{ROWS}.inception:INCEPTION_V4",
        "resnet_v1_50": f"{ROWS}.resnet:RESNET_V1_50",
        "resnet_v2_50": f"{ROWS}.resnet:RESNET_V2_50",
    },
    group="slimline.networks",
    kind=NetworkRow,
)
