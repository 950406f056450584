"""Choice of a phase's feeds: features, cached views at the cut, or photos, whichever is cheapest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from slimline.stages.data.storing.photos import Photos
from slimline.stages.images.augmentation_config import AugmentationConfig
from slimline.stages.images.preprocessing import preprocess
from slimline.stages.images.preprocessing_config import Preprocessing
from slimline.stages.training.config import PhaseConfig
from slimline.stages.training.cut_cache import cached_views, view_of
from slimline.stages.training.feeds import FeaturesFeed, Feed, PhotosFeed, ViewsFeed
from slimline.stages.training.job import SPLITS, Job, make_network
from slimline.stages.training.network import PhaseNetwork


class PhaseFeeds(NamedTuple):
    """The feeds of the training and the validation photos, and the network that takes them."""

    training: Feed
    validation: Feed
    network: PhaseNetwork


def phase_feeds(job: Job, number: int, values: Mapping[str, Any]) -> PhaseFeeds:
    """Return a phase's feeds; `values` holds the weights that the phase starts from.

    If nothing is cached at the cut, the network is not the job's: the whole network runs at each step.

    Raises:
        Stopped: a signal was received while the outputs at the cut were computed.
    """
    config, network = job.config, job.networks[number]
    if network.upper is None:
        training, validation = (FeaturesFeed(*job.features[split]) for split in SPLITS)
        return PhaseFeeds(training, validation, network)
    photos, checked = (Photos(job.ingest, split) for split in SPLITS)
    wanted = job.card.preprocessing
    seen, augmentation = phase_images(job, config.phases[number])
    views = config.cache.views if config.augments(config.phases[number]) else 1
    if network.lower is not None and views:
        settings = (config.seed, config.cache, job.signal)
        kept = cached_views(job.memo, network.lower, values, photos, seen, augmentation, views, *settings)
        plain = kept and cached_views(
            job.memo, network.lower, values, checked, wanted, AugmentationConfig(), 1, *settings
        )
        if kept and plain:
            turns = np.random.Generator(np.random.Philox(config.seed)).integers(views, size=len(photos))
            validation_views = ViewsFeed(*plain, checked.labels, np.zeros(len(checked), np.int64))
            return PhaseFeeds(ViewsFeed(*kept, photos.labels, turns), validation_views, network)
    whole = network if network.lower is None else make_network(config, job.card, job.initial, number, cut=False)
    validation_photos = PhotosFeed(checked, lambda record: preprocess(record["encoded"], wanted))
    return PhaseFeeds(PhotosFeed(photos, view_of(seen, augmentation, config.seed)), validation_photos, whole)


def phase_images(job: Job, phase: PhaseConfig) -> tuple[Preprocessing, AugmentationConfig]:
    """Return the preprocessing and the augmentation of a phase's training photos."""
    wanted = job.card.preprocessing
    varied = job.config.augmentation if job.config.augments(phase) else AugmentationConfig()
    return replace(wanted, input_px=phase.input_px or wanted.input_px), varied
