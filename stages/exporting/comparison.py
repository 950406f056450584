"""Comparison of each exported format with the evaluated model, photo by photo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from slimline.pipeline.artifact import Artifact, content_digest
from slimline.stages.exporting.failures import FormatFailed, failing, guarded
from slimline.stages.exporting.parity import Parity, encoded_photos, measure, prepared_photos
from slimline.stages.images.batches import AT_ONCE, padded
from slimline.stages.images.preprocessing_config import Preprocessing
from slimline.stages.models.formats import EIGHT_BITS, EVALUATED_MODEL, Format
from slimline.stages.models.runtimes import open_runtime
from slimline.stages.models.saved_model import open_saved_model

MOST_SHOWN = 3
TIMED_PHOTOS = 20
SPOT_CHECK_PHOTOS = 64
"""Number of photos that a SavedModel classifies again if it equals the evaluated one."""


def read_predicted(evaluate: Path, labels: list[str]) -> dict[str, int]:
    """Return the best class of each evaluated photo, by the photo's sha256."""
    places = {label: number for number, label in enumerate(labels)}
    table = pq.read_table(evaluate / "predictions.parquet", columns=["sha256", "predicted"])
    return {row["sha256"]: places[row["predicted"]] for row in table.to_pylist()}


def parity_from_bytes(
    path: Path, evaluate: Artifact, records: Any, batch_size: int, evaluated: dict[str, int]
) -> Parity:
    """Run a SavedModel on encoded photos.

    A model that equals the evaluated one byte for byte runs on some photos only, to check that it works.
    """
    same = content_digest(path, {}) == content_digest(evaluate.path / EVALUATED_MODEL, {})
    checked = records.take(SPOT_CHECK_PHOTOS) if same else records
    singles = [given for given, *_ in encoded_photos(records.take(TIMED_PHOTOS), 1)]
    with failing("opened"):
        run = guarded(padded(open_saved_model(path), batch_size))
    batches, known = encoded_photos(checked, batch_size), evaluated if same else None
    found = measure(run, batches, singles, evaluated, AT_ONCE, known)
    return found._replace(right=round(evaluate.facts["top1"] * len(evaluated))) if same else found


def parity_from_images(
    one: Format, path: Path, preprocessing: Preprocessing, records: Any, batch_size: int, evaluated: dict[str, int]
) -> Parity:
    """Run another format in its own runtime on preprocessed images."""
    with failing("opened"):
        run, at_once = guarded(open_runtime(one, path)), 1
    if one is Format.frozen_graph:
        run, at_once = padded(run, batch_size), AT_ONCE
    singles = [given for given, *_ in prepared_photos(records.take(TIMED_PHOTOS), preprocessing, 1)]
    return measure(run, prepared_photos(records, preprocessing, batch_size), singles, evaluated, at_once)


def require_parity(one: Format, parity: Parity, most: int, evaluate: Path, labels: list[str]) -> None:
    """Check that at most `most` photos have another best class than the evaluated model's.

    Raises:
        FormatFailed: more have; the message lists some of the photos.
    """
    if len(parity.changed) <= most:
        return
    shown = "; ".join(_changed_photos(evaluate, parity, labels)[:MOST_SHOWN])
    setting = "export.max_changed_int8" if one in EIGHT_BITS else "export.max_changed"
    raise FormatFailed(
        f"it classifies {len(parity.changed):,} of {len(parity.predicted):,} photos differently from the evaluated"
        f" model, and {setting} allows {most:,}.",
        f"For example: {shown}",
        f"To keep it, raise {setting}.",
    )


def _changed_photos(evaluate: Path, parity: Parity, labels: list[str]) -> list[str]:
    """Return a line for each photo whose best class differs from the evaluated one."""
    changed = set(parity.changed)
    rows = pq.read_table(evaluate / "predictions.parquet", columns=["filename", "sha256", "predicted"]).to_pylist()
    predicted = {sha256: labels[number] for sha256, number in parity.predicted.items()}
    return [
        f"{row['filename']}: {predicted.get(row['sha256'])!r}, evaluated as {row['predicted']!r}"
        for row in rows
        if row["sha256"] in changed
    ]
