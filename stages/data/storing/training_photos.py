"""The photos that trained a model, by the sha256 of their files: those of a run, or those that an export lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from slimline.pipeline.errors import UserError
from slimline.stages.models.formats import TRAINING_PHOTOS

DIGITS = 16
"""Hex digits of a sha256 that are compared: any two of a million photos share them with a chance of 1 in 37 million."""

COLUMNS = ["sha256", "label", "split"]
SEEN = ("train", "validation")


class TrainingPhotos(NamedTuple):
    """The photos that a training saw, by split, as the first 16 hex digits of their sha256.

    `classes` holds the number of training photos of each class.
    """

    sha256s: Mapping[str, pa.Array]
    classes: Mapping[str, int]

    def counts_among(self, sha256s: Sequence[str]) -> dict[str, int]:
        """Count how many of these photos trained the model (`train`), and how many validated it (`validation`)."""
        given = pa.array([sha256[:DIGITS] for sha256 in sha256s], pa.string())
        return {split: pc.sum(pc.is_in(given, known)).as_py() or 0 for split, known in self.sha256s.items()}


def read_training_photos(path: Path) -> TrainingPhotos:
    """Read the photos from ingest's `index.parquet`, or from the `training_photos.parquet` of an export.

    Raises:
        UserError: the file is neither.
    """
    try:
        rows = _seen(path)
    except (pa.ArrowInvalid, KeyError) as error:
        raise UserError(
            f"{path} does not list the photos that trained a model: {str(error).splitlines()[0]}",
            f"Name the {TRAINING_PHOTOS} of an export, or the index.parquet of a run's artifacts/ingest.",
        ) from error
    by_split = {split: rows.filter(pc.equal(rows["split"], split)) for split in SEEN}
    counts = pc.value_counts(by_split["train"]["label"]).to_pylist()
    return TrainingPhotos(
        {split: found["sha256"].combine_chunks() for split, found in by_split.items()},
        {row["values"]: row["counts"] for row in counts},
    )


def write_training_photos(index: Path, path: Path) -> None:
    """Write the photos of ingest's `index.parquet` that a training sees, sorted: 16 hex digits, class and split."""
    pq.write_table(_seen(index).sort_by("sha256"), path, compression="zstd")


def _seen(path: Path) -> pa.Table:
    """Read the photos for training and validation; of the index's rows, only those of photos in use have a split."""
    rows = pq.read_table(path, columns=COLUMNS)
    rows = rows.filter(pc.is_in(rows["split"], pa.array(SEEN)))
    return rows.set_column(0, "sha256", pc.utf8_slice_codeunits(rows["sha256"], 0, DIGITS))
