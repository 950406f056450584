"""Writing the trained model in each format, kept only if it classifies the photos as the evaluated model does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from slimline.pipeline.artifact import Artifact, Facts, write_text
from slimline.stages.data.storing.photos import Photos
from slimline.stages.data.storing.records import read_records
from slimline.stages.exporting.card_facts import card_facts, write_card_facts
from slimline.stages.exporting.comparison import parity_from_bytes, parity_from_images, read_predicted, require_parity
from slimline.stages.exporting.config import ExportConfig
from slimline.stages.exporting.measurements import write_formats
from slimline.stages.exporting.writers import Material, write_format
from slimline.stages.images.batches import prepared_batches
from slimline.stages.models.card import Card, read_card
from slimline.stages.models.description import describe, write_description
from slimline.stages.models.formats import EVALUATED_GRAPH, EVALUATED_MODEL, FILES, Format
from slimline.stages.scoring.calibration import read_calibration


def export_model(config: ExportConfig, out: Path, ingest: Artifact, train: Artifact, evaluate: Artifact) -> Facts:
    """Write each format and the files that describe the model; return the facts of the `export` stage.

    Raises:
        UserError: a format classifies more photos differently from the evaluated model than the config allows, or
            cannot be written.
    """
    card = read_card(train.path)
    description = describe(card, read_calibration(evaluate.path))
    write_description(out, description)
    write_text(out / "labels.txt", "".join(f"{label}\n" for label in card.labels))
    material = Material(
        card,
        description,
        evaluate.path / EVALUATED_MODEL,
        evaluate.path / EVALUATED_GRAPH,
        lambda: _samples(card, ingest.path, config.calibration_photos),
    )
    evaluated = read_predicted(evaluate.path, card.labels)
    records = read_records(ingest.path, evaluate.facts["split"])
    measured, timings = {}, {}
    for one in config.formats:
        path = write_format(one, material, out)
        if one is Format.saved_model:
            parity = parity_from_bytes(path, evaluate, records, config.batch_size, evaluated)
        else:
            parity = parity_from_images(one, path, card.preprocessing, records, config.batch_size, evaluated)
        require_parity(one, parity, config.most_changed(one), evaluate.path, card.labels)
        measured[one.name] = {
            "file": FILES[one],
            "size_mb": _size_bytes(path) / 1e6,
            "top1": parity.right / len(parity.predicted),
            "changed": len(parity.changed),
            "checked": len(parity.predicted),
        }
        timings[one.name] = {
            "latency_seconds": parity.median_seconds,
            "latency_p95_seconds": parity.slowest_seconds,
            "images_per_second": parity.rate,
        }
    write_formats(out, measured, timings)
    metrics = json.loads((evaluate.path / "metrics.json").read_text(encoding="utf-8"))
    write_card_facts(out, card_facts(description, ingest.facts, metrics, measured))
    first = {**measured[config.formats[0].name], **timings[config.formats[0].name]}
    return {
        **{name: first[name] for name in ("size_mb", "checked", "changed", "latency_seconds")},
        "formats": [one.name for one in config.formats],
        "headline": f"model     {{path}}/{first['file']}",
    }


def _samples(card: Card, ingest: Path, count: int) -> Iterator[Any]:
    """Yield preprocessed training photos, [side, side, 3] float32, evenly spread over the shards."""
    photos = Photos(ingest, "train")
    chosen = np.linspace(0, len(photos) - 1, min(count, len(photos))).astype(np.int64)
    for images, _ in prepared_batches(photos.dataset(chosen), card.preprocessing, 1):
        yield images.numpy()[0]


def _size_bytes(path: Path) -> int:
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file())
