"""The tables of sources of photos.

A store key holds the chosen source, not these tables: keep everything else out of this file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import FunctionType

from slimline.pipeline.table import Table
from slimline.stages.data.sources.kinds import SourceKind
from slimline.stages.data.sources.photo import Columns, Listing, ListPhotos, Photo

HERE = "slimline.stages.data.sources"

SOURCES: Table[str, ListPhotos] = Table(
    {
        SourceKind.folder: f"{HERE}.folder:list_folder",
        SourceKind.manifest: f"{HERE}.manifest:list_manifest",
        SourceKind.parquet: f"{HERE}.parquet:list_parquet",
        SourceKind.archive: f"{HERE}.archive:list_archive",
        SourceKind.tfrecord: f"{HERE}.tfrecord:list_tfrecords",
        SourceKind.tfds: f"{HERE}.tfds:list_prepared",
    },
    group="slimline.sources",
    kind=FunctionType,
)

DRAWINGS: Table[str, Callable[[Listing, int, int], Iterator[Photo]]] = Table({"garden": f"{HERE}.garden:list_garden"})
"""What the program can draw: `(listing, count per class, seed) -> photos`."""

NAMED_FILES: Table[str, Callable[[Path, Columns], Iterator[Path]]] = Table(
    {SourceKind.manifest: f"{HERE}.manifest:files_named"}
)
"""Functions that list the files that a source names elsewhere, because the result depends on their content too."""
