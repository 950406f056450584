"""Occlusion maps as pictures for a page: the parts of a photo that its predicted class depends on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimline.pipeline.memo import Memo
from slimline.stages.data.storing.photos import Photos
from slimline.stages.evaluation.kept_features import KeptFeatures, kept_features
from slimline.stages.evaluation.occlusion import GRID, covered, overlay, score_drops
from slimline.stages.images.batches import AT_ONCE, BATCH_SIZE, padded
from slimline.stages.images.parallel import in_parallel
from slimline.stages.models.card import read_card
from slimline.stages.models.formats import EVALUATED_GRAPH, EVALUATED_MODEL
from slimline.stages.models.saved_model import open_saved_model
from slimline.stages.pages.thumbnails import address
from slimline.stages.scoring.probabilities import probabilities

MOST_KEPT_BYTES = 1 << 27
"""Size of the kept features from which on those of other photos are not kept: about 500 photos (EfficientNet-Lite0)."""


def occlusion_maps(
    evaluate: Path, train: Path, ingest: Path, split: str, rows: Sequence[Mapping[str, Any]], memo: Memo
) -> list[str]:
    """Return the occlusion maps of photos of a split, as `data:` URLs.

    A map is bright where covering the photo lowers the score of its predicted class. `rows` are predictions, with
    `sha256` and `predicted`; `evaluate` contains the model that made them, which was trained in `train`. If only the
    head was trained, `memo` keeps what the layers below it computed for the covered copies of each photo.
    """
    if not rows:
        return []
    card, photos = read_card(train), Photos(ingest, split)
    places = {key: number for number, key in enumerate(photos.sources)}
    encoded = [photos.encoded(places[row["sha256"]]) for row in rows]
    kept = kept_features(evaluate / EVALUATED_GRAPH, train, card, memo, MOST_KEPT_BYTES)
    logits = _of_head(kept, encoded) if kept else _of_model(evaluate, encoded)
    scores = np.split(probabilities(logits), len(rows))
    drops = [score_drops(one, card.labels.index(row["predicted"])) for one, row in zip(scores, rows, strict=True)]
    return [address(overlay(one, drop)) for one, drop in zip(encoded, drops, strict=True)]


def _of_model(evaluate: Path, encoded: Sequence[bytes]) -> NDArray[Any]:
    """Run the whole model on the covered copies of photos: [photos * (1 + GRID * GRID), classes]."""
    copies = [copy for one in encoded for copy in covered(one)]
    batches = [copies[start : start + BATCH_SIZE] for start in range(0, len(copies), BATCH_SIZE)]
    run = padded(open_saved_model(evaluate / EVALUATED_MODEL).logits, BATCH_SIZE)
    return np.concatenate(list(in_parallel(run, batches, AT_ONCE)))


def _of_head(kept: KeptFeatures, encoded: Sequence[bytes]) -> NDArray[Any]:
    """Run the layers below the head on the copies that were not kept, then the head on all: as `_of_model`."""
    named = [[f"{sha256(one).hexdigest()}-{copy}" for copy in range(1 + GRID * GRID)] for one in encoded]
    missing = [(keys, one) for keys, one in zip(named, encoded, strict=True) if any(key not in kept for key in keys)]
    kept.compute(pair for keys, one in missing for pair in zip(keys, covered(one), strict=True))
    return kept.outputs([key for keys in named for key in keys])
