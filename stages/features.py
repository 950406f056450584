"""Features: the frozen base's bottleneck for every record, computed once."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slimline.pipeline.artifact import Artifact, Facts
from slimline.pipeline.config import require_range
from slimline.pipeline.memo import Memo
from slimline.pipeline.progress import progress
from slimline.pipeline.stage import stage
from slimline.stages.captions import COMPUTING_FEATURES, IMAGES, LOOKING_FOR_KNOWN_PHOTOS
from slimline.stages.data.splitting.config import SPLITS

if TYPE_CHECKING:
    from slimline.stages.data.storing.photo_cache import PhotoCache

NOTHING_COMPUTED: Facts = {"build_seconds": None, "images_per_second": None}
"""A sweep's table may have a column of these: it is empty then, where a fact that is absent would be refused."""


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
    from slimline.stages.backend.hardware import has_fast_bfloat16

    if config.precision is not Precision.auto:
        return config
    return replace(config, precision=Precision.bfloat16 if has_fast_bfloat16() else Precision.float32)


@stage(resolve=settle_precision)
def features(config: FeaturesConfig, out: Path, *, ingest: Artifact, base: Artifact, memo: Memo) -> Facts:
    """Write `<split>.arrow`: for each record, in order, `sha256`, `label` and `features` [width] float32.

    What the memo holds of the same base isn't computed again, whatever else changed: the split, or other photos.
    """
    from slimline.stages.data.storing.features import missing_photos, missing_records, read_photos, write_features
    from slimline.stages.data.storing.photo_cache import PhotoCache

    width = base.facts["feature_width"]
    # Of another batch size the last bits may be others, as a library may add in another order.
    folder = memo.folder(base=base.digest, precision=config.precision.value, batch_size=config.batch_size)
    cache = PhotoCache(folder, (width,), "float32")
    total = sum(ingest.facts[split] for split in SPLITS)
    with progress(LOOKING_FOR_KNOWN_PHOTOS, total, IMAGES) as advance:
        photos = {split: read_photos(ingest.path, split, advance) for split in SPLITS}
    missing = missing_photos(photos, cache)
    computed = int(sum(marks.sum() for marks in missing.values()))
    timings = NOTHING_COMPUTED
    if computed:
        timings = _compute(config, base.path, missing_records(ingest.path, photos, missing), computed, cache)
    memo.note(computed=computed)
    for split in SPLITS:
        write_features(out / f"{split}.arrow", photos[split], cache, config.batch_size)
    return {
        "images": sum(len(own.keys) for own in photos.values()),
        "width": width,
        "precision": config.precision.value,
        **timings,
    }


def _compute(config: FeaturesConfig, base: Path, records: Any, count: int, cache: PhotoCache) -> Facts:
    """Compute the features of `count` records, into the cache; return what that took."""
    from slimline.stages.backend.hardware import bfloat16_rewriting
    from slimline.stages.data.storing.features import compute_features
    from slimline.stages.models.card import read_card

    started = time.perf_counter()
    bottleneck = make_bottleneck(base)
    built = time.perf_counter()
    wanted = read_card(base).preprocessing
    with (
        bfloat16_rewriting(config.precision is Precision.bfloat16),
        progress(COMPUTING_FEATURES, count, IMAGES) as advance,
    ):
        compute_features(records, cache, wanted, bottleneck, config.batch_size, advance)
    return {"build_seconds": built - started, "images_per_second": count / (time.perf_counter() - built)}


def make_bottleneck(base: Path) -> Any:
    """Return the frozen base: images [batch, side, side, 3] float32 to features [batch, width] float32."""
    from slimline.stages.models.assemble import base_network, freeze_network
    from slimline.stages.models.card import read_card

    card = read_card(base)
    return freeze_network(card, base_network(card), base / "model.ckpt")
