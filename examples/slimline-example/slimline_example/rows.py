"""The plug-in's entries in Slimline's tables. They are imported to check a config, so imports here must be fast."""

from __future__ import annotations

from dataclasses import dataclass

from slimline.pipeline.config import require_range
from slimline.stages.images.preprocessing_config import Preprocessing
from slimline.stages.models.head_config import HeadConfig
from slimline.stages.models.head_row import HeadRow
from slimline.stages.networks.rows.row import SECOND_1X1, NetworkRow

TINY = NetworkRow(
    function="slimline_example.tiny:tiny",
    scope="Tiny",
    logits_scope=SECOND_1X1,
    preprocessing=Preprocessing(input_px=64, crop_fraction=0.875, offset=127.5, scale=127.5),
    published_top1=None,
    upper="Conv_2",
)


@dataclass
class CosineConfig(HeadConfig):
    """A head that classifies by cosine similarity; `scale` multiplies the cosines, which gives the logits."""

    kind: str = "cosine"
    scale: float = 16.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_range("head.scale", self.scale, 1, 1000)


COSINE = HeadRow(config=CosineConfig, function="slimline_example.cosine:make_cosine_head")
