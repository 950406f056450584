"""What a phase reads: features, views kept at the cut, or photos, whichever costs least."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from slimline.stages.data.storing.photos import Photos
from slimline.stages.images.augmentation_config import AugmentationConfig
from slimline.stages.images.preprocessing import preprocess
from slimline.stages.images.preprocessing_config import Preprocessing
from slimline.stages.training.config import PhaseConfig
from slimline.stages.training.cut_cache import cached_views, view_of
from slimline.stages.training.feeds import FeaturesFeed, Feed, PhotosFeed, ViewsFeed
from slimline.stages.training.loop import Job
from slimline.stages.training.network import PhaseNetwork


def phase_feeds(
    job: Job, phase: PhaseConfig, network: PhaseNetwork, values: Mapping[str, Any]
) -> tuple[Feed, Feed, PhaseNetwork]:
    """Return the training photos' feed, the validation photos', and the network that they are for.

    That is another than `network` where nothing is kept at the cut: then all of it runs at each step.
    """
    augments = job.config.augments(phase)
    if network.upper is None:
        training, validation = (FeaturesFeed(*job.features[split]) for split in ("train", "validation"))
        return training, validation, network
    photos, checked = (Photos(job.ingest, split) for split in ("train", "validation"))
    wanted = job.card.preprocessing
    seen, augmentation = _seen(job, phase)
    views = job.config.cache.views if augments else 1
    if network.lower is not None and views:
        settings = (job.config.seed, job.config.cache, job.signal)
        kept = cached_views(job.memo, network.lower, values, photos, seen, augmentation, views, *settings)
        plain = kept and cached_views(
            job.memo, network.lower, values, checked, wanted, AugmentationConfig(), 1, *settings
        )
        if kept and plain:
            turns = np.random.Generator(np.random.Philox(job.config.seed)).integers(views, size=len(photos))
            training_views = ViewsFeed(*kept, photos.labels, turns)
            return training_views, ViewsFeed(*plain, checked.labels, np.zeros(len(checked), np.int64)), network
    whole = network if network.lower is None else job.network(phase, cut=False)
    validation_feed = PhotosFeed(checked, lambda record: preprocess(record["encoded"], wanted))
    return PhotosFeed(photos, view_of(seen, augmentation, job.config.seed)), validation_feed, whole


def example_images(job: Job, phase: PhaseConfig, count: int) -> Any:
    """Return the first training photos as a phase's first epoch sees them: [count, side, side, 3] float32 in [0, 1]."""
    wanted, augmentation = _seen(job, phase)
    feed = PhotosFeed(Photos(job.ingest, "train"), view_of(wanted, augmentation, job.config.seed))
    [images] = feed.batches([np.arange(min(count, len(feed.labels)))], 0)
    return np.clip((images.numpy() * wanted.scale + np.asarray(wanted.offset)) / 255, 0, 1).astype(np.float32)


def _seen(job: Job, phase: PhaseConfig) -> tuple[Preprocessing, AugmentationConfig]:
    """Return how a phase's training photos are prepared, and varied."""
    wanted = job.card.preprocessing
    varied = job.config.augmentation if job.config.augments(phase) else AugmentationConfig()
    return replace(wanted, input_px=phase.input_px or wanted.input_px), varied
