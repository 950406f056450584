"""Cached outputs of the layers below the cut, for each photo or for each augmented view of a photo."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict
from math import prod
from typing import Any

import numpy as np

from slimline.pipeline.memo import Memo
from slimline.pipeline.signals import stopped
from slimline.stages.backend.hardware import bfloat16_rewriting
from slimline.stages.backend.tensorflow import tf
from slimline.stages.data.storing.photo_cache import PhotoCache
from slimline.stages.data.storing.photos import Photos
from slimline.stages.images.augmentation import augment, image_seed
from slimline.stages.images.augmentation_config import AugmentationConfig
from slimline.stages.images.batches import run_prepared
from slimline.stages.images.preprocessing_config import Preprocessing
from slimline.stages.networks.graphs.symbolic import Symbolic
from slimline.stages.training.config import CacheConfig, Switch
from slimline.stages.training.progress import views_progress

log = logging.getLogger(__name__)

KEPT_AS = "float16"
BYTES = 2


def cached_views(
    memo: Memo,
    lower: Symbolic,
    values: Mapping[str, Any],
    photos: Photos,
    wanted: Preprocessing,
    augmentation: AugmentationConfig,
    views: int,
    seed: int,
    config: CacheConfig,
    signal: Callable[[], int | None],
) -> tuple[PhotoCache, list[list[str]]] | None:
    """Return the cache of the lower layers' outputs, and the keys of each photo's views [count][views].

    Return None if the outputs exceed the disk budget or the range of float16. Outputs that another training has cached
    are not computed again. `values` holds the variables of the lower layers.

    Raises:
        Stopped: a `signal` was received; the outputs computed so far are kept.
    """
    run = lower_function(lower, values, wanted.input_px)
    shape = tuple(run.structured_outputs.shape[1:])
    if not _is_within_budget(len(photos), views, shape, config.budget_mb):
        return None
    folder = memo.folder(
        lower=_digest(lower, values),
        preprocessing=asdict(wanted),
        augmentation=[type(augmentation).__name__, asdict(augmentation)],
        seed=seed,
        bfloat16=config.bfloat16.value,
        batch_size=config.batch_size,
    )
    cache = PhotoCache(folder, shape, KEPT_AS)
    named = [f"{key}-{number:x}" for key, number in zip(photos.keys, photos.numbers.tolist(), strict=True)]
    keys = [[f"{name}-{view}" for view in range(views)] for name in named]
    missing = [(place, view) for view in range(views) for place in range(len(photos)) if keys[place][view] not in cache]
    records, prepare = _with_views(photos, missing), view_of(wanted, augmentation, seed)
    with (
        bfloat16_rewriting(config.bfloat16 is Switch.always),
        views_progress(len(missing)) as advance,
        cache.writing() as add,
    ):
        for outputs, others in run_prepared(run, records, prepare, config.batch_size) if missing else ():
            places = zip(others["place"].numpy(), others["epoch"].numpy(), strict=True)
            if np.abs(outputs).max() > np.finfo(KEPT_AS).max:
                log.warning("train     outputs at the cut are not cached: values are too large for %s", KEPT_AS)
                return None
            add([keys[place][view] for place, view in places], outputs)
            advance(len(outputs))
            if number := signal():
                raise stopped(number, "while computing the outputs at the cut. The computed outputs are kept.")
    return cache, keys


def _is_within_budget(photos: int, views: int, shape: tuple[int, ...], budget_mb: int) -> bool:
    """Return whether the views of the photos, outputs of `shape`, fit in the disk budget; log a line if they do not."""
    megabytes = photos * views * prod(shape) * BYTES / 1e6
    if megabytes > budget_mb:
        log.info(
            "train     outputs at the cut are not cached: %s photos x %d views need %s MB,"
            " more than train.cache.budget_mb=%s",
            f"{photos:,}",
            views,
            f"{megabytes:,.0f}",
            f"{budget_mb:,}",
        )
    return megabytes <= budget_mb


def view_of(wanted: Preprocessing, augmentation: AugmentationConfig, seed: int) -> Any:
    """Return a function that decodes and augments a record's image; (seed, `number`, `epoch`) decide the random draws.

    `number` and `epoch` are fields of the record.
    """
    return lambda record: augment(
        record["encoded"], wanted, augmentation, image_seed(seed, record["number"], record["epoch"])
    )


def lower_function(lower: Symbolic, values: Mapping[str, Any], input_px: int) -> Any:
    """Return the layers below the cut as a function of images [batch, side, side, 3] float32, with constant weights."""

    def run(images: Any) -> Any:
        return lower.run(images, {name: tf.constant(values[name]) for name in lower.feeds})[0]

    shape = tf.TensorSpec([None, input_px, input_px, 3], tf.float32)
    return tf.function(run, autograph=False).get_concrete_function(shape)


def _with_views(photos: Photos, wanted: list[tuple[int, int]]) -> Any:
    """Return a dataset of the photos' records, with the number of the wanted view as `epoch`."""
    views = tf.data.Dataset.from_tensor_slices(np.array([view for _, view in wanted], np.int64))
    records = photos.dataset([place for place, _ in wanted])
    return tf.data.Dataset.zip((records, views)).map(lambda record, view: {**record, "epoch": view})


def _digest(lower: Symbolic, values: Mapping[str, Any]) -> str:
    """Return a digest of the lower layers: of their operations and their weights."""
    digest = hashlib.sha256(lower.graph_def.SerializeToString(deterministic=True))
    digest.update(json.dumps([lower.given, lower.output, lower.feeds]).encode())
    for name in sorted(lower.feeds):
        digest.update(np.ascontiguousarray(values[name]).tobytes())
    return digest.hexdigest()
