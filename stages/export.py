"""Export: the trained model as others can use it, kept only if it still says what it said in evaluation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slimline.pipeline.artifact import Artifact, Facts, content_digest, write_text
from slimline.pipeline.errors import UserError
from slimline.pipeline.stage import stage
from slimline.stages.exporting.config import ExportConfig
from slimline.stages.models.formats import EIGHT_BITS, Format

if TYPE_CHECKING:
    from slimline.stages.exporting.parity import Parity
    from slimline.stages.models.card import Card

MOST_SHOWN = 3
TIMED_PHOTOS = 20
ASKED_PHOTOS = 64
"""Of the SavedModel that evaluation ran: whether its signature says the same, and how fast."""


@stage()
def export(config: ExportConfig, out: Path, *, ingest: Artifact, train: Artifact, evaluate: Artifact) -> Facts:
    """Write each of `formats`, `model.json`, `labels.txt`, `model_card.md`, and what was measured: see `read_formats`.

    The SavedModel is the one that was evaluated, byte for byte. Every other format is loaded back by its own runtime
    and names all evaluated photos, from the images that are prepared for it.

    Raises:
        UserError: a format differs from the evaluated model on more photos than it may, or can't be written.
    """
    from slimline.stages.data.storing.records import read_records
    from slimline.stages.evaluation.predictions import FROZEN, SAVED_MODEL
    from slimline.stages.exporting.measurements import write_formats
    from slimline.stages.exporting.writers import Material, write_format
    from slimline.stages.models.card import read_card
    from slimline.stages.models.description import describe, write_description
    from slimline.stages.models.formats import FILES
    from slimline.stages.pages.model_card import model_card
    from slimline.stages.scoring.calibration import read_calibration

    card = read_card(train.path)
    description = describe(card, read_calibration(evaluate.path))
    write_description(out, description)
    write_text(out / "labels.txt", "".join(f"{label}\n" for label in card.labels))
    material = Material(
        card,
        description,
        evaluate.path / SAVED_MODEL,
        evaluate.path / FROZEN,
        lambda: _samples(card, ingest.path, config.calibration_photos),
    )
    rows = _evaluated(evaluate.path, card.labels)
    records = read_records(ingest.path, evaluate.facts["split"])
    measured, timings = {}, {}
    for one in config.formats:
        path = write_format(one, material, out)
        parity = (
            _parity_from_bytes(path, evaluate, records, config.batch_size, rows)
            if one is Format.saved_model
            else _parity(one, path, card, records, config.batch_size, rows)
        )
        _require_parity(one, parity, config.most_flips(one), evaluate.path, card.labels)
        measured[one.name] = {
            "file": FILES[one],
            "size_mb": _size_bytes(path) / 1e6,
            "top1": parity.right / len(parity.names),
            "flips": len(parity.flips),
            "checked": len(parity.names),
        }
        timings[one.name] = {
            "latency_seconds": parity.median_seconds,
            "latency_p95_seconds": parity.slowest_seconds,
            "images_per_second": parity.rate,
        }
    write_formats(out, measured, timings)
    metrics = json.loads((evaluate.path / "metrics.json").read_text(encoding="utf-8"))
    text = model_card(description, data=ingest.facts, metrics=metrics, formats=measured)
    write_text(out / "model_card.md", text)
    first = {**measured[config.formats[0].name], **timings[config.formats[0].name]}
    return {
        **{name: first[name] for name in ("size_mb", "checked", "flips", "latency_seconds")},
        "formats": [one.name for one in config.formats],
        "headline": f"model     {{path}}/{first['file']}",
    }


def _evaluated(evaluate: Path, labels: list[str]) -> dict[str, int]:
    """Return each evaluated photo's best class by its sha256."""
    import pyarrow.parquet as pq

    places = {label: number for number, label in enumerate(labels)}
    table = pq.read_table(evaluate / "predictions.parquet", columns=["sha256", "predicted"])
    return {row["sha256"]: places[row["predicted"]] for row in table.to_pylist()}


def _parity_from_bytes(
    path: Path, evaluate: Artifact, records: Any, batch_size: int, evaluated: dict[str, int]
) -> Parity:
    """Run a SavedModel over photos' bytes; of the one that was evaluated, some are enough to know that it answers."""
    from slimline.stages.evaluation.predictions import SAVED_MODEL
    from slimline.stages.exporting.parity import encoded_photos, measure
    from slimline.stages.images.batches import AT_ONCE, padded
    from slimline.stages.models.saved_model import open_saved_model

    same = content_digest(path, {}) == content_digest(evaluate.path / SAVED_MODEL, {})
    asked = records.take(ASKED_PHOTOS) if same else records
    singles = [given for given, *_ in encoded_photos(records.take(TIMED_PHOTOS), 1)]
    run = padded(open_saved_model(path), batch_size)
    batches, unasked = encoded_photos(asked, batch_size), evaluated if same else None
    found = measure(run, batches, singles, evaluated, AT_ONCE, unasked)
    return found._replace(right=round(evaluate.facts["top1"] * len(evaluated))) if same else found


def _parity(one: Format, path: Path, card: Card, records: Any, batch_size: int, evaluated: dict[str, int]) -> Parity:
    """Run another format over images that are prepared for it."""
    from slimline.stages.exporting.parity import measure, prepared_photos
    from slimline.stages.images.batches import AT_ONCE, padded
    from slimline.stages.models.runtimes import open_runtime

    run, at_once = open_runtime(one, path), 1
    if one is Format.frozen_graph:
        run, at_once = padded(run, batch_size), AT_ONCE
    singles = [given for given, *_ in prepared_photos(records.take(TIMED_PHOTOS), card.preprocessing, 1)]
    return measure(run, prepared_photos(records, card.preprocessing, batch_size), singles, evaluated, at_once)


def _require_parity(one: Format, parity: Parity, most: float, evaluate: Path, labels: list[str]) -> None:
    if parity.flipped <= most:
        return
    shown = "; ".join(flipped_photos(evaluate, parity, labels)[:MOST_SHOWN])
    raise UserError(
        f"{one.name} names {len(parity.flips)} of {len(parity.names)} photos otherwise than the model that was"
        f" evaluated, {parity.flipped:.2%}: more than {most:.2%}.",
        f"For example: {shown}",
        "Nothing was kept. Leave it out of export.formats, or allow more by export."
        f"{'max_flips_int8' if one in EIGHT_BITS else 'max_flips'}.",
    )


def flipped_photos(evaluate: Path, parity: Parity, labels: list[str]) -> list[str]:
    """List the photos whose best class differs from the evaluated one."""
    import pyarrow.parquet as pq

    flips = set(parity.flips)
    rows = pq.read_table(evaluate / "predictions.parquet", columns=["filename", "sha256", "predicted"]).to_pylist()
    said = {sha256: labels[number] for sha256, number in parity.names.items()}
    return [
        f"{row['filename']}: {said.get(row['sha256'])!r}, was {row['predicted']!r}"
        for row in rows
        if row["sha256"] in flips
    ]


def _samples(card: Card, ingest: Path, count: int) -> Iterator[Any]:
    """Yield training photos as the model wants them [side, side, 3] float32, evenly spread over the shards."""
    import numpy as np

    from slimline.stages.data.storing.photos import Photos
    from slimline.stages.images.batches import prepared_batches

    photos = Photos(ingest, "train")
    chosen = np.linspace(0, len(photos) - 1, min(count, len(photos))).astype(np.int64)
    for images, _ in prepared_batches(photos.dataset(chosen), card.preprocessing, 1):
        yield images.numpy()[0]


def _size_bytes(path: Path) -> int:
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file())
