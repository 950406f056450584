"""Bottleneck features of all photos: those in the cache are read, the others are computed by the frozen base."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slimline.pipeline.artifact import Artifact, Facts
from slimline.pipeline.memo import Memo
from slimline.pipeline.progress import progress
from slimline.stages.backend.captions import COMPUTING_FEATURES, IMAGES, LOOKING_FOR_KNOWN_PHOTOS
from slimline.stages.backend.hardware import bfloat16_rewriting
from slimline.stages.backend.tensorflow import tf
from slimline.stages.data.features_config import FeaturesConfig, Precision
from slimline.stages.data.splitting.config import SPLITS
from slimline.stages.data.storing.features import (
    MIRRORED,
    FeaturePhotos,
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
    missing = [Missing(photos, missing_photos(photos, cache))]
    extra: Facts = {}  # without flips, the facts are those of earlier versions
    if config.flips:
        mirrored = photos["train"].mirrored()
        missing.append(Missing({"train": mirrored}, missing_photos({"train": mirrored}, cache), flip=True))
        extra = {"mirrored": len(mirrored.keys)}
    computed = sum(one.total for one in missing)
    timings = _compute(config, ingest.path, base.path, missing, cache) if computed else NOTHING_COMPUTED
    memo.note(computed=computed)
    for split in SPLITS:
        write_features(out / f"{split}.arrow", photos[split], cache, config.batch_size)
    if config.flips:
        write_features(out / f"{MIRRORED}.arrow", mirrored, cache, config.batch_size)
    return {
        "images": sum(len(own.keys) for own in photos.values()),
        **extra,
        "width": width,
        "precision": config.precision.value,
        **timings,
    }


class Missing(NamedTuple):
    """Photos by split, and marks [count] of those whose features the cache lacks; `flip`: of their mirror images."""

    photos: Mapping[str, FeaturePhotos]
    marks: Mapping[str, NDArray[np.bool_]]
    flip: bool = False

    @property
    def total(self) -> int:
        """The number of marked photos."""
        return int(sum(marks.sum() for marks in self.marks.values()))


def _compute(config: FeaturesConfig, ingest: Path, base: Path, missing: Sequence[Missing], cache: PhotoCache) -> Facts:
    """Compute the missing features into the cache; return the timings."""
    started = time.perf_counter()
    bottleneck = make_bottleneck(base)
    built = time.perf_counter()
    wanted = read_card(base).preprocessing
    count = sum(one.total for one in missing)
    with (
        bfloat16_rewriting(config.precision is Precision.bfloat16),
        progress(COMPUTING_FEATURES, count, IMAGES) as advance,
    ):
        for one in missing:
            if one.total:
                records = missing_records(ingest, one.photos, one.marks)
                run = _of_mirror_images(bottleneck) if one.flip else bottleneck
                compute_features(records, cache, wanted, run, config.batch_size, advance)
    return {"build_seconds": built - started, "images_per_second": count / (time.perf_counter() - built)}


def _of_mirror_images(bottleneck: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a function that mirrors images [batch, side, side, 3] left to right before it runs the bottleneck.

    It mirrors what the network sees: the photo upright, cropped and resized, as `train.average_flips` does.
    """
    return lambda images: bottleneck(tf.reverse(images, [2]))


def make_bottleneck(base: Path) -> Any:
    """Return the frozen base, from images [batch, side, side, 3] float32 to features [batch, width] float32."""
    card = read_card(base)
    return freeze_network(card, base_network(card), base / "model.ckpt")
