"""Each exported format compared with the evaluated model, photo by photo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from slimline.pipeline.artifact import Artifact, content_digest
from slimline.pipeline.errors import UserError
from slimline.stages.exporting.parity import Parity, encoded_photos, measure, prepared_photos
from slimline.stages.images.batches import AT_ONCE, padded
from slimline.stages.images.preprocessing_config import Preprocessing
from slimline.stages.models.formats import EIGHT_BITS, EVALUATED_MODEL, Format
from slimline.stages.models.runtimes import open_runtime
from slimline.stages.models.saved_model import open_saved_model

MOST_SHOWN = 3
TIMED_PHOTOS = 20
ASKED_PHOTOS = 64
"""How many photos the SavedModel that evaluation ran is asked again."""


def read_named(evaluate: Path, labels: list[str]) -> dict[str, int]:
    """Return each evaluated photo's best class by its sha256."""
    places = {label: number for number, label in enumerate(labels)}
    table = pq.read_table(evaluate / "predictions.parquet", columns=["sha256", "predicted"])
    return {row["sha256"]: places[row["predicted"]] for row in table.to_pylist()}


def parity_from_bytes(
    path: Path, evaluate: Artifact, records: Any, batch_size: int, evaluated: dict[str, int]
) -> Parity:
    """Run a SavedModel over encoded photos.

    Of the one that was evaluated, to the byte, some photos are enough to know that it answers.
    """
    same = content_digest(path, {}) == content_digest(evaluate.path / EVALUATED_MODEL, {})
    asked = records.take(ASKED_PHOTOS) if same else records
    singles = [given for given, *_ in encoded_photos(records.take(TIMED_PHOTOS), 1)]
    run = padded(open_saved_model(path), batch_size)
    batches, unasked = encoded_photos(asked, batch_size), evaluated if same else None
    found = measure(run, batches, singles, evaluated, AT_ONCE, unasked)
    return found._replace(right=round(evaluate.facts["top1"] * len(evaluated))) if same else found


def parity_from_images(
    one: Format, path: Path, preprocessing: Preprocessing, records: Any, batch_size: int, evaluated: dict[str, int]
) -> Parity:
    """Run another format by its own runtime over images that are prepared for it."""
    run, at_once = open_runtime(one, path), 1
    if one is Format.frozen_graph:
        run, at_once = padded(run, batch_size), AT_ONCE
    singles = [given for given, *_ in prepared_photos(records.take(TIMED_PHOTOS), preprocessing, 1)]
    return measure(run, prepared_photos(records, preprocessing, batch_size), singles, evaluated, at_once)


def require_parity(one: Format, parity: Parity, most: float, evaluate: Path, labels: list[str]) -> None:
    """Refuse a format that names more than `most` of the photos otherwise than they were evaluated.

    Raises:
        UserError: it does; some of the photos are listed.
    """
    if parity.flipped <= most:
        return
    shown = "; ".join(_flipped_photos(evaluate, parity, labels)[:MOST_SHOWN])
    raise UserError(
        f"{one.name} names {len(parity.flips)} of {len(parity.names)} photos otherwise than the model that was"
        f" evaluated, {parity.flipped:.2%}: more than {most:.2%}.",
        f"For example: {shown}",
        "Nothing was kept. Leave it out of export.formats, or allow more by export."
        f"{'max_changed_int8' if one in EIGHT_BITS else 'max_changed'}.",
    )


def _flipped_photos(evaluate: Path, parity: Parity, labels: list[str]) -> list[str]:
    """List the photos whose best class differs from the evaluated one."""
    flips = set(parity.flips)
    rows = pq.read_table(evaluate / "predictions.parquet", columns=["filename", "sha256", "predicted"]).to_pylist()
    said = {sha256: labels[number] for sha256, number in parity.names.items()}
    return [
        f"{row['filename']}: {said.get(row['sha256'])!r}, was {row['predicted']!r}"
        for row in rows
        if row["sha256"] in flips
    ]
