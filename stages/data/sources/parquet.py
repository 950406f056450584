"""Parquet files that hold the photos' bytes, as datasets on the Hugging Face hub do."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from slimline.pipeline.content import files_below
from slimline.pipeline.errors import UserError
from slimline.stages.data.sources.cells import (
    class_names,
    details_of,
    label_of,
    require_kept,
    require_single,
    split_of,
    text_of,
    why_no_label,
)
from slimline.stages.data.sources.photo import Columns, Listing, Photo
from slimline.stages.data.sources.split_names import splits_of_files
from slimline.stages.images.faults import Fault

BATCH_ROWS = 64


def holds_images(path: Path, columns: Columns) -> bool:
    """Return whether a Parquet file holds images: in the image column or, without a path column, in any other."""
    with open_table(path) as file:
        schema = file.schema_arrow
        if columns.image in schema.names:
            return _is_image(schema.field(columns.image).type)
        return columns.path not in schema.names and bool(_image_columns(schema))


def _image_columns(schema: Any) -> list[str]:
    return [field.name for field in schema if _is_image(field.type)]


def _is_image(kind: Any) -> bool:
    """Return whether a column's type is that of images: bytes, or a struct with a field `bytes`."""
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0 and _is_image(kind.field("bytes").type)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


@contextmanager
def open_table(path: Path) -> Iterator[Any]:
    """Open a Parquet file.

    Raises:
        UserError: it is not a Parquet file, or it is damaged, which may show only while it is read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            yield file
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise  # the disk that the photos are written to is full
        raise UserError(
            f"{path} can't be read as Parquet: {str(error).splitlines()[0]}", "Use a complete Parquet file."
        ) from error


def count_images(path: Path) -> int:
    """Count a Parquet file's rows."""
    with open_table(path) as file:
        rows: int = file.metadata.num_rows
        return rows


def read_images(path: Path) -> Iterator[bytes | None]:
    """Yield the bytes of each row's image, None for rows without one, of `image` or the first column of images.

    Raises:
        UserError: there is no column of images.
    """
    with open_table(path) as file:
        names = _image_columns(file.schema_arrow)
        if not names:
            raise UserError(
                f"{path} has no column of images; it has: {', '.join(file.schema_arrow.names)}.",
                "Use photos, or a Parquet file with a column of bytes or of {bytes, path}.",
            )
        column = "image" if "image" in names else names[0]
        for batch in file.iter_batches(BATCH_ROWS, columns=[column]):
            yield from (_bytes_of(image) for image in batch.column(0).to_pylist())


def _bytes_of(image: Any) -> bytes | None:
    encoded: bytes | None = image.get("bytes") if isinstance(image, dict) else image
    return encoded


def parquet_files(root: Path) -> list[Path]:
    """List the Parquet files below a folder, or a Parquet file itself."""
    return [root] if root.is_file() else [path for path in files_below(root) if path.suffix.lower() == ".parquet"]


def list_parquet(asked: Listing) -> Iterator[Photo]:
    """List the photos inside Parquet files: `image` is {bytes, path} or bytes, `label` is a number or a name.

    The class names come from the schema, or are the column's values. The splits come from the column `split`; without
    it, from names of files, such as `train-00000-of-00001.parquet`, or of their folders.

    Raises:
        UserError: there is no column of labels, or of images.
    """
    paths = parquet_files(asked.root)
    names = ["" if path == asked.root else path.relative_to(asked.root).as_posix() for path in paths]
    for path, name, split in zip(paths, names, splits_of_files(names), strict=True):
        yield from _list_file(asked, path, name, split)


def _list_file(asked: Listing, path: Path, name: str, split: str) -> Iterator[Photo]:
    """List a file's photos; `name` is its path inside the source, empty if the file is the source."""
    columns = asked.columns
    with open_table(path) as file:
        schema = file.schema_arrow
        _require_columns(name or path.name, schema, columns)
        labels, splits = class_names(schema, columns.label), class_names(schema, columns.split)
        texts = [one for one in (columns.label, columns.split, columns.group, *columns.keep) if one in schema.names]
        number = 0
        for batch in file.iter_batches(BATCH_ROWS, columns=[*texts, *([columns.image] if asked.spool else [])]):
            for row in batch.to_pylist():
                where = f"{name or path.name}, row {number}"
                require_single(row, tuple(texts), where)
                stated = split_of(row.get(columns.split), f"{where}: {columns.split}", splits)
                photo = Photo(
                    f"{name}#{number}",
                    label_of(row[columns.label], labels),
                    split=stated if columns.split in schema.names else split,
                    group=text_of(row.get(columns.group)),
                    details=details_of(row, columns.keep),
                )
                yield _placed(photo, row.get(columns.image), row[columns.label], asked)
                number += 1


def _require_columns(name: str, schema: Any, columns: Columns) -> None:
    if columns.label not in schema.names:
        raise UserError(
            f"{name} has no column {columns.label!r}; it has: {', '.join(schema.names)}.",
            "Name the column that holds the label: ingest.columns.label=...",
        )
    require_kept(name, schema.names, columns.keep)
    if columns.image not in schema.names or not _is_image(schema.field(columns.image).type):
        raise UserError(
            f"{name} has no images in a column {columns.image!r}; it has: {', '.join(schema.names)}.",
            f"Name the column that holds the images: ingest.columns.image={next(iter(_image_columns(schema)), '...')}",
        )


def _placed(photo: Photo, image: Any, label: Any, asked: Listing) -> Photo:
    if not photo.label:
        problem = why_no_label(label, asked.columns.label) or "its row has no label"
        return photo._replace(problem=problem, fault=Fault.unlabeled)
    if asked.spool is None:
        return photo
    encoded = _bytes_of(image)
    if isinstance(image, dict) and image.get("path"):
        photo = photo._replace(path=f"{photo.path} {image['path']}")
    if encoded is None:
        return photo._replace(problem="its row holds no bytes", fault=Fault.empty)
    return asked.placed(photo, encoded)
