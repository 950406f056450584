"""Features: the frozen base's bottleneck for every record, computed once."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

from pipeline.artifact import Artifact, Facts
from pipeline.config import require_range
from pipeline.stage import stage
from stages.data.split_config import SPLITS
from stages.progress import progress


class Precision(Enum):
    """What the base computes in; `auto` is bfloat16 where the processor multiplies it faster."""

    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"


@dataclass
class FeaturesConfig:
    """How to compute the features; `precision` is settled before the key is made."""

    precision: Precision = Precision.auto
    batch_size: int = 32

    def __post_init__(self) -> None:
        require_range("features.batch_size", self.batch_size, 1, 4096)


def settle_precision(config: FeaturesConfig, plan: bool) -> FeaturesConfig:
    """Choose bfloat16 on processors with avx512_bf16 or AMX, float32 elsewhere."""
    from stages.hardware import has_fast_bfloat16

    if config.precision is not Precision.auto:
        return config
    return replace(config, precision=Precision.bfloat16 if has_fast_bfloat16() else Precision.float32)


@stage(resolve=settle_precision)
def features(config: FeaturesConfig, out: Path, *, ingest: Artifact, base: Artifact) -> Facts:
    """Write `<split>.arrow`: for each record, in order, `sha256`, `label` and `features` [width] float32."""
    from stages.data.features import write_features
    from stages.data.records import read_records
    from stages.hardware import bfloat16_rewriting
    from stages.model import read_card

    card = read_card(base.path)
    started = time.perf_counter()
    bottleneck = make_bottleneck(base.path)
    built = time.perf_counter()
    count = 0
    total = sum(ingest.facts[split] for split in SPLITS)
    with (
        bfloat16_rewriting(config.precision is Precision.bfloat16),
        progress("computing features", total, "images") as advance,
    ):
        for split in SPLITS:
            records = read_records(ingest.path, split)
            path = out / f"{split}.arrow"
            count += write_features(path, records, card.preprocessing, bottleneck, config.batch_size, advance)
    return {
        "images": count,
        "width": base.facts["feature_width"],
        "precision": config.precision.value,
        "build_seconds": built - started,
        "images_per_second": count / (time.perf_counter() - built),
    }


def make_bottleneck(base: Path) -> Any:
    """Return the frozen base: images [batch, side, side, 3] float32 to features [batch, width] float32."""
    from stages.model import base_network, freeze_network, read_card

    card = read_card(base)
    return freeze_network(card, base_network(card), base / "model.ckpt")
