"""The index: one row per photo, with its place or why it was left out; and the pairs of photos that look the same."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from slimline.stages.data.checking.survey import Survey, printable
from slimline.stages.data.splitting.config import SPLITS
from slimline.stages.data.splitting.outcomes import NONE, Outcome
from slimline.stages.data.splitting.selection import Selection
from slimline.stages.data.storing.shards import Places

TEXT, WHOLE = pa.string(), pa.int64()
SCHEMA = pa.schema(
    [
        ("path", TEXT),
        ("label", TEXT),
        ("split", TEXT),
        ("provisional", pa.bool_()),
        ("outcome", TEXT),
        ("reason", TEXT),
        ("fault", TEXT),
        ("note", TEXT),
        ("group", TEXT),
        ("details", TEXT),
        ("sha256", TEXT),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("size_bytes", WHOLE),
        ("format", TEXT),
        ("phash", pa.uint64()),
        ("shard", TEXT),
        ("offset", WHOLE),
        ("length", WHOLE),
    ]
)
TWINS_SCHEMA = pa.schema(
    [(f"{one}{what}", TEXT) for one in ("first", "second") for what in ("", "_label", "_split", "_outcome")]
    + [("bits", pa.uint8())]
)
PAIRS_AT_ONCE = 65_536
NOTED = ("path", "format", "note")
EXTENSIONS_OF = {
    "jpeg": ("jpeg", "jpg", "jpe", "jfif"),
    "tiff": ("tiff", "tif"),
    "bmp": ("bmp", "dib"),
    "avif": ("avif", "avifs"),
    "heif": ("heif", "heic", "hif", "heics", "heifs"),
    **{kind: (kind,) for kind in ("png", "gif", "webp")},
}
FORMAT_OF = {extension: kind for kind, extensions in EXTENSIONS_OF.items() for extension in extensions}


def write_index(survey: Survey, selection: Selection, places: Places, path: Path) -> None:
    """Write `index.parquet`, in the source's order.

    `outcome` is `used`, `quarantined`, `duplicate`, `near_twin` or `skipped`. `reason` says why a photo isn't used, and
    `fault` which kind of reason that is, if the photo itself or its row is at fault.
    `shard`, `offset` and `length` are the file and the byte range of its record, header and checksums included.
    """
    with pq.ParquetWriter(path, SCHEMA) as writer:
        start = 0
        for batch in survey.batches:
            rows = range(start, start + len(batch))
            start += len(batch)
            columns: dict[str, Any] = {
                name: batch.column(name)
                for name in ("label", "fault", "group", "details", "width", "height", "size_bytes", "format", "phash")
            }
            used = [selection.outcomes[row] == Outcome.used for row in rows]
            columns |= {
                "path": [printable(one) for one in batch.column("path").to_pylist()],
                "sha256": [one.hex() if one else None for one in batch.column("sha256").to_pylist()],
                "split": [SPLITS[selection.splits[row]] if one else None for row, one in zip(rows, used, strict=True)],
                "provisional": [
                    bool(selection.provisional[row]) if one else None for row, one in zip(rows, used, strict=True)
                ],
                "outcome": [Outcome(selection.outcomes[row]).name for row in rows],
                "reason": [reason(survey, selection, row) for row in rows],
                "note": [
                    _note(*cells) for cells in zip(*(batch.column(name).to_pylist() for name in NOTED), strict=True)
                ],
                "shard": [places.names[places.shards[row]] if places.shards[row] >= 0 else None for row in rows],
                "offset": [int(places.offsets[row]) if one else None for row, one in zip(rows, used, strict=True)],
                "length": [int(places.lengths[row]) if one else None for row, one in zip(rows, used, strict=True)],
            }
            arrays = [
                column if isinstance(column, pa.Array) else pa.array(column, field.type)
                for field in SCHEMA
                for column in [columns[field.name]]
            ]
            writer.write_batch(pa.record_batch(arrays, schema=SCHEMA))


def reason(survey: Survey, selection: Selection, row: int) -> str | None:
    """Return why a photo isn't used; None if it is used."""
    outcome, other = Outcome(selection.outcomes[row]), int(selection.other[row])
    if other == NONE:
        said: str | None = survey.value(row, "reason")
        return said or ("it has no label" if outcome is Outcome.quarantined else None)
    name = survey.path(other)
    if outcome is Outcome.duplicate:
        return f"the same bytes as the test photo {name}" if selection.test_copies[row] else f"the same bytes as {name}"
    if outcome is Outcome.near_twin:
        return f"looks like the test photo {name}: {selection.bits[row]} of 64 bits of their hashes differ"
    return f"the same bytes as {name}, which is labeled {survey.value(other, 'label')}: one of the labels is wrong"


def _note(path: bytes, kind: str | None, note: str | None) -> str | None:
    """Return the notes about a photo's name and about its content."""
    extension = PurePosixPath(printable(path)).suffix.lower().lstrip(".")
    misnamed = kind is not None and FORMAT_OF.get(extension, kind) != kind
    notes = [*([f"named .{extension}, is {kind}"] if misnamed else []), *([note] if note else [])]
    return "; ".join(notes) or None


def write_twins(survey: Survey, selection: Selection, path: Path) -> None:
    """Write `twins.parquet`: the pairs of photos that look the same, those with the fewest different bits first."""
    first, second, bits = selection.pairs
    order = np.lexsort((second, first, bits))
    with pq.ParquetWriter(path, TWINS_SCHEMA) as writer:
        for start in range(0, len(order), PAIRS_AT_ONCE):
            some = order[start : start + PAIRS_AT_ONCE]
            columns: list[Any] = []
            for rows in (first[some], second[some]):
                columns += [
                    [survey.path(row) for row in rows],
                    [selection.classes[selection.labels[row]] for row in rows],
                    [SPLITS[selection.splits[row]] for row in rows],
                    [Outcome(selection.outcomes[row]).name for row in rows],
                ]
            arrays = [
                pa.array(column, field.type) for column, field in zip([*columns, bits[some]], TWINS_SCHEMA, strict=True)
            ]
            writer.write_batch(pa.record_batch(arrays, schema=TWINS_SCHEMA))
