"""The built-in heads."""

from __future__ import annotations

from slimline.stages.models.head_config import HeadConfig, MlpConfig
from slimline.stages.models.head_row import HeadRow

FACTORY = "slimline.stages.networks.architectures.heads:make_head"

LINEAR = HeadRow(HeadConfig, FACTORY, first_weights="Logits/weights")
MLP = HeadRow(MlpConfig, FACTORY, first_weights="fc_1/weights")
