"""Bottleneck features of all photos: those in the cache are read, the others are computed by the frozen base."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from slimline.pipeline.artifact import Artifact, Facts
from slimline.pipeline.memo import Memo
from slimline.pipeline.progress import progress
from slimline.stages.backend.captions import COMPUTING_FEATURES, IMAGES, LOOKING_FOR_KNOWN_PHOTOS
from slimline.stages.backend.hardware import bfloat16_rewriting
from slimline.stages.data.features_config import FeaturesConfig, Precision
from slimline.stages.data.splitting.config import SPLITS
from slimline.stages.data.storing.features import (
    compute_features,
    missing_photos,
    missing_records,
    read_photos,
    write_features,
)
from slimline.stages.data.storing.photo_cache import PhotoCache
from slimline.stages.models.assemble import base_network, freeze_network
from slimline.stages.models.card import read_card

NOTHING_COMPUTED: Facts = {"build_seconds": None, "images_per_second": None}
"""Facts if nothing was computed: a column of a sweep's table is then empty, whereas a missing fact is an error."""


def write_bottlenecks(config: FeaturesConfig, out: Path, ingest: Artifact, base: Artifact, memo: Memo) -> Facts:
    """Write the features of each split into `out`, and compute those that the memo lacks: see the stage."""
    width = base.facts["feature_width"]
    # Another batch size may change the last bits, because a library may add in another order.
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
    """Compute the features of `count` records into the cache; return the timings."""
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
    """Return the frozen base, from images [batch, side, side, 3] float32 to features [batch, width] float32."""
    card = read_card(base)
    return freeze_network(card, base_network(card), base / "model.ckpt")
