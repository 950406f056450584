"""Parquet files with the photos' bytes inside, as the Hugging Face hub keeps data sets."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.content import files_below
from pipeline.errors import UserError
from stages.data.sources.layout import split_named
from stages.data.sources.photo import Listing, Photo

BATCH_ROWS = 64


def holds_images(path: Path, column: str) -> bool:
    """Say whether a Parquet file has a column of images: bytes, or a struct with `bytes` in it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path} can't be read as Parquet: {error}", "Give a whole Parquet file.") from error
    if column not in schema.names:
        return False
    kind = schema.field(column).type
    if pa.types.is_struct(kind):
        return any(kind.field(number).name == "bytes" for number in range(kind.num_fields))
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def parquet_files(root: Path) -> list[Path]:
    """List a Parquet file, or those below a folder."""
    return [root] if root.is_file() else [path for path in files_below(root) if path.suffix.lower() == ".parquet"]


def class_names(schema: Any, column: str) -> dict[Any, str]:
    """Return the names of a column's classes by number, as the Hugging Face schema in the metadata states them."""
    stated = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    feature = stated.get("info", {}).get("features", {}).get(column, {})
    names = feature.get("names") or [] if isinstance(feature, dict) else []
    names = list(names.values()) if isinstance(names, dict) else names
    return {number: str(name) for number, name in enumerate(names)}


def list_parquet(asked: Listing) -> Iterator[Photo]:
    """List the photos inside Parquet files: `image` {bytes, path} or bytes, and `label` a number or a name.

    The class names come from the schema, or are what the column holds. A file named after a split, such as
    `train-00000-of-00001.parquet`, or in a folder named so, states it, unless there is a column `split`.

    Raises:
        UserError: there is no column of labels.
    """
    import pyarrow.parquet as pq

    columns = asked.columns
    for path in parquet_files(asked.root):
        inside = path.name if path == asked.root else path.relative_to(asked.root).as_posix()
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            if columns.label not in schema.names:
                raise UserError(
                    f"{inside} has no column {columns.label!r}; it has: {', '.join(schema.names)}.",
                    "Say which one holds the label: ingest.columns.label=...",
                )
            names = class_names(schema, columns.label)
            wanted = [name for name in (columns.label, columns.split, columns.group) if name in schema.names]
            number = 0
            for batch in file.iter_batches(BATCH_ROWS, columns=[*wanted, *([columns.image] if asked.spool else [])]):
                for row in batch.to_pylist():
                    label = row[columns.label]
                    stated = row.get(columns.split)
                    photo = Photo(
                        f"{inside}#{number}",
                        "" if label is None or label == -1 else names.get(label, str(label)),
                        split=split_named(str(stated)) if stated is not None else _split_of(inside),
                        group=str(row.get(columns.group) or ""),
                    )
                    yield _placed(photo, row.get(columns.image), asked)
                    number += 1


def _placed(photo: Photo, image: Any, asked: Listing) -> Photo:
    if not photo.label:
        return photo._replace(problem="its row has no label")
    if asked.spool is None:
        return photo
    encoded = image.get("bytes") if isinstance(image, dict) else image
    if isinstance(image, dict) and image.get("path"):
        photo = photo._replace(path=f"{photo.path} {image['path']}")
    if encoded is None:
        return photo._replace(problem="its row holds no bytes")
    if len(encoded) > asked.most_bytes:
        return photo._replace(problem=f"{len(encoded) / 1e6:,.0f} MB are more than ingest.max_file_mb allows")
    return asked.spool.add(photo, encoded)


def _split_of(inside: str) -> str:
    """Read a split from the name of a file or its folder."""
    words = re.split(r"[^a-z]+", inside.lower())
    return next((split for word in words if (split := split_named(word))), "")
