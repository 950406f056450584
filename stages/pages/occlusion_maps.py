"""Occlusion maps as pictures for a page: the parts of a photo that its predicted class depends on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from slimline.stages.data.storing.photos import Photos
from slimline.stages.evaluation.occlusion import covered, overlay, score_drops
from slimline.stages.images.batches import AT_ONCE, BATCH_SIZE, padded
from slimline.stages.images.parallel import in_parallel
from slimline.stages.models.formats import EVALUATED_MODEL
from slimline.stages.models.saved_model import open_saved_model
from slimline.stages.pages.thumbnails import address
from slimline.stages.scoring.probabilities import probabilities


def occlusion_maps(
    evaluate: Path, ingest: Path, split: str, labels: list[str], rows: Sequence[Mapping[str, Any]]
) -> list[str]:
    """Return the occlusion maps of photos of a split, as `data:` URLs.

    A map is bright where covering the photo lowers the score of its predicted class. `rows` are predictions, with
    `sha256` and `predicted`; `evaluate` contains the model that made them.
    """
    if not rows:
        return []
    photos = Photos(ingest, split)
    places = {key: number for number, key in enumerate(photos.sources)}
    encoded = [photos.encoded(places[row["sha256"]]) for row in rows]
    copies = [copy for one in encoded for copy in covered(one)]
    batches = [copies[start : start + BATCH_SIZE] for start in range(0, len(copies), BATCH_SIZE)]
    run = padded(open_saved_model(evaluate / EVALUATED_MODEL).logits, BATCH_SIZE)
    scores = np.split(probabilities(np.concatenate(list(in_parallel(run, batches, AT_ONCE)))), len(rows))
    drops = [score_drops(one, labels.index(row["predicted"])) for one, row in zip(scores, rows, strict=True)]
    return [address(overlay(one, drop)) for one, drop in zip(encoded, drops, strict=True)]
