"""Settling ingest's config before any key is made: where the photos are, and what kind of source they are in."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace
from pathlib import Path

from slimline.pipeline.artifact import digest_file
from slimline.pipeline.config import require_path
from slimline.pipeline.errors import Undecided, UserError
from slimline.stages.data.config import Fallback, FlowersConfig, IngestConfig, Origin, TfdsConfig
from slimline.stages.data.sources.detection import kind_at
from slimline.stages.data.sources.kinds import SourceKind, lists_quickly
from slimline.stages.data.sources.photo import Listing
from slimline.stages.data.sources.table import SOURCES
from slimline.stages.data.sources.tfds import prepare
from slimline.stages.data.splitting.classes import check_classes
from slimline.stages.data.splitting.config import SPLITS

log = logging.getLogger(__name__)


def settle_source(config: IngestConfig, plan: bool) -> IngestConfig:
    """Find the photos, before any key is made: given, there, fetched or drawn; and what kind of source it is."""
    if isinstance(config, FlowersConfig) and config.images is None and config.origin is not Origin.photos:
        config = _settle_flowers(config, plan)
        if config.is_drawn:
            return config
    if isinstance(config, TfdsConfig) and config.images is None:
        images = str(prepare(config.dataset, config.data_dir, plan))
        config = replace(config, images=images, source=SourceKind.tfds.value)
    if config.images is None:
        raise UserError(
            "ingest.images has no value.",
            "Give the folder that holds a folder of photos for each class: ingest.images=path",
        )
    if "://" in config.images:
        from slimline.stages.data.sources.remote import fetch  # here: it imports requests, slowly

        path = fetch(config.images, config.sha256, plan)
    else:
        path = require_path("ingest.images", config.images)
        _require_digest(path, config.sha256)
    kind = kind_at(path, config.columns).value if config.source == SourceKind.auto else config.source
    found = replace(config, images=str(path), source=kind)
    _look_over(found, path, kind)
    return replace(found, origin=Origin.photos) if isinstance(found, FlowersConfig) else found


def _require_digest(path: Path, sha256: str | None) -> None:
    if sha256 is not None and (not path.is_file() or digest_file(path) != sha256):
        raise UserError(f"{path} doesn't have ingest.sha256={sha256}.", "Correct the checksum, or give another file.")


def _look_over(config: IngestConfig, path: Path, kind: str) -> None:
    """List what lists quickly, so that a source that can't be trained on is refused before anything runs."""
    if not lists_quickly(kind, path):
        return
    counts = Counter(
        photo.label
        for photo in SOURCES[kind](Listing(path, config.columns))
        if photo.label and not photo.problem and not photo.skipped
    )
    check_classes(counts, len(SPLITS), str(path))


def _settle_flowers(config: FlowersConfig, plan: bool) -> FlowersConfig:
    """Take `data/flower_photos`, else download it, else draw; the network gets five seconds to answer."""
    # here: both import requests, slowly
    from slimline.stages.data.sources.flower_photos import SIZE_BYTES, URL, fetch_flower_photos
    from slimline.stages.fetching.download import Unreachable

    folder = Path(config.data).absolute()
    if config.origin is Origin.drawn:
        log.warning("ingest: the flowers are drawn by the program, as ingest.origin=drawn asks; they are no photos")
        return config
    if folder.is_dir():
        return replace(config, images=str(folder))
    if plan:
        otherwise = "else drawn" if config.fallback is Fallback.drawn else "else an error"
        raise Undecided(f"the flower photos ({SIZE_BYTES / 1e6:.0f} MB) would be downloaded, {otherwise}")
    try:
        return replace(config, images=str(fetch_flower_photos(folder)))
    except Unreachable as unreachable:
        if config.fallback is Fallback.none:
            raise UserError(
                f"The flower photos can't be reached: {unreachable}.",
                f"Put {URL} by hand into {folder.parent}, unpacked, or allow drawn flowers: ingest.fallback=drawn",
            ) from unreachable
        log.warning("ingest: the flower photos can't be reached (%s)", unreachable)
        log.warning("ingest: the flowers are drawn by the program instead; they are no photos")
        return replace(config, origin=Origin.drawn)
