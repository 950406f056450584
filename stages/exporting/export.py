"""Writing the trained model in each format, kept only if it classifies the photos as the evaluated model does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from slimline.pipeline.artifact import Artifact, Facts, write_text
from slimline.pipeline.errors import UserError
from slimline.stages.data.storing.photos import Photos
from slimline.stages.data.storing.records import read_records
from slimline.stages.data.storing.training_photos import write_training_photos
from slimline.stages.exporting.card_facts import card_facts, write_card_facts
from slimline.stages.exporting.comparison import parity_from_bytes, parity_from_images, read_predicted, require_parity
from slimline.stages.exporting.config import ExportConfig
from slimline.stages.exporting.failures import FormatFailed, leave_out
from slimline.stages.exporting.measurements import write_formats
from slimline.stages.exporting.parity import Parity
from slimline.stages.exporting.writers import Material, write_format
from slimline.stages.images.batches import prepared_batches
from slimline.stages.models.card import Card, read_card
from slimline.stages.models.description import describe, write_description
from slimline.stages.models.formats import EVALUATED_GRAPH, EVALUATED_MODEL, FILES, TRAINING_PHOTOS, Format
from slimline.stages.scoring.calibration import read_calibration


def export_model(config: ExportConfig, out: Path, ingest: Artifact, train: Artifact, evaluate: Artifact) -> Facts:
    """Write each format and the files that describe the model; return the facts of the `export` stage.

    Raises:
        UserError: every format failed, or the environment prevents one.
    """
    card = read_card(train.path)
    description = describe(card, read_calibration(evaluate.path))
    write_description(out, description)
    write_text(out / "labels.txt", "".join(f"{label}\n" for label in card.labels))
    write_training_photos(ingest.path / "index.parquet", out / TRAINING_PHOTOS)
    material = Material(
        card,
        description,
        evaluate.path / EVALUATED_MODEL,
        evaluate.path / EVALUATED_GRAPH,
        lambda: _samples(card, ingest.path, config.calibration_photos),
    )
    exports, failures = _write_formats(config, out, material, ingest, evaluate)
    write_formats(
        out,
        {name: one.measured for name, one in exports.items()},
        {name: one.timings for name, one in exports.items()},
    )
    metrics = json.loads((evaluate.path / "metrics.json").read_text(encoding="utf-8"))
    measured = {name: one.measured for name, one in exports.items()}
    write_card_facts(out, card_facts(description, ingest.facts, metrics, measured))
    first = next(iter(exports.values()))
    return {
        **{name: first.measured[name] for name in ("size_mb", "checked", "changed")},
        "latency_seconds": first.timings["latency_seconds"],
        "formats": list(exports),
        "failures": failures,
        "headline": f"model     {{path}}/{first.measured['file']}",
    }


class Exported(NamedTuple):
    """The measurements of a format that was kept, and its times, which are stored apart."""

    measured: dict[str, Any]
    timings: dict[str, float]


def _write_formats(
    config: ExportConfig, out: Path, material: Material, ingest: Artifact, evaluate: Artifact
) -> tuple[dict[str, Exported], list[str]]:
    """Write and check each format. Return those that are kept, by name, and a text for each that is left out.

    Raises:
        UserError: every format failed, or the environment prevents one.
    """
    evaluated = read_predicted(evaluate.path, material.card.labels)
    records = read_records(ingest.path, evaluate.facts["split"])
    exports, failures = {}, []
    for one in config.formats:
        try:
            path = write_format(one, material, out)
            if one is Format.saved_model:
                parity = parity_from_bytes(path, evaluate, records, config.batch_size, evaluated)
            else:
                wanted = material.card.preprocessing
                parity = parity_from_images(one, path, wanted, records, config.batch_size, evaluated)
            most = config.most_changed(one, len(parity.predicted))
            require_parity(one, parity, most, evaluate.path, material.card.labels)
        except FormatFailed as error:
            failures.append(leave_out(one, error, out))
            continue
        exports[one.name] = Exported(_measured(one, path, parity), _timings(parity))
    if not exports:
        raise UserError("Nothing was exported: every format failed.", *failures)
    return exports, failures


def _measured(one: Format, path: Path, parity: Parity) -> dict[str, Any]:
    return {
        "file": FILES[one],
        "size_mb": _size_bytes(path) / 1e6,
        "top1": parity.right / len(parity.predicted),
        "changed": len(parity.changed),
        "checked": len(parity.predicted),
    }


def _timings(parity: Parity) -> dict[str, float]:
    return {
        "latency_seconds": parity.median_seconds,
        "latency_p95_seconds": parity.slowest_seconds,
        "images_per_second": parity.rate,
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
