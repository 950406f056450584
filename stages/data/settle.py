"""Settle ingest's config before any key is made: where the photos are, and which kind of source holds them."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from slimline.pipeline.artifact import digest_file
from slimline.pipeline.config import require_path
from slimline.pipeline.errors import Undecided, UserError
from slimline.stages.data.config import Fallback, FlowersConfig, IngestConfig, Origin, TfdsConfig
from slimline.stages.data.listing_checks import check_listing
from slimline.stages.data.sources.detection import kind_at
from slimline.stages.data.sources.kinds import SourceKind, lists_quickly
from slimline.stages.data.sources.named_files import is_file_url, path_of_url
from slimline.stages.data.sources.tfds import prepare

log = logging.getLogger(__name__)


def settle_source(config: IngestConfig, plan: bool) -> IngestConfig:
    """Find the photos before any key is made (given, on this machine, downloaded or drawn), and the kind of source."""
    if isinstance(config, FlowersConfig) and config.images is None and config.origin is not Origin.photos:
        config = _settle_flowers(config, plan)
        if config.is_drawn:
            return config
    if isinstance(config, TfdsConfig) and config.images is None:
        images = str(prepare(config.dataset, config.data_dir, plan))
        config = replace(config, images=images, source=SourceKind.tfds.value)
    if config.images is None:
        raise UserError(
            "ingest.images is not set.",
            "Set it to a folder that holds one folder of photos per class: ingest.images=path",
        )
    if "://" in config.images and not is_file_url(config.images):
        from slimline.stages.data.sources.remote import fetch  # imported here: it imports requests, which is slow

        path = fetch(config.images, config.sha256, plan)
    else:
        path = require_path("ingest.images", _local(config.images))
        _require_digest(path, config.sha256)
    kind = kind_at(path, config.columns).value if config.source == SourceKind.auto else config.source
    found = replace(config, images=str(path), source=kind)
    if lists_quickly(kind, path):
        check_listing(kind, path, found)
    return replace(found, origin=Origin.photos) if isinstance(found, FlowersConfig) else found


def _local(images: str) -> str:
    """Return the path that a `file://` URL names; a path as it is."""
    return path_of_url(images) if is_file_url(images) else images


def _require_digest(path: Path, sha256: str | None) -> None:
    if sha256 is not None and (not path.is_file() or digest_file(path) != sha256):
        raise UserError(f"{path} doesn't match ingest.sha256={sha256}.", "Correct the checksum, or use another file.")


def _settle_flowers(config: FlowersConfig, plan: bool) -> FlowersConfig:
    """Use `data/flower_photos`, else download it, else draw flowers; the network gets five seconds to answer."""
    # imported here: both import requests, which is slow
    from slimline.stages.data.sources.flower_photos import SIZE_BYTES, URL, fetch_flower_photos
    from slimline.stages.fetching.download import Unreachable

    folder = Path(config.data).absolute()
    if config.origin is Origin.drawn:
        log.warning("ingest: the flowers are drawn by the program (ingest.origin=drawn); they are not photos")
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
                f"The flower photos can't be downloaded: {unreachable}.",
                f"Download {URL} by hand and unpack it in {folder.parent}, or allow drawn flowers:"
                " ingest.fallback=drawn",
            ) from unreachable
        log.warning("ingest: the flower photos can't be downloaded (%s)", unreachable)
        log.warning("ingest: the flowers are drawn by the program instead; they are not photos")
        return replace(config, origin=Origin.drawn)
