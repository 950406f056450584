"""Folders that hold one folder of photos per class, or one folder per split that holds the class folders."""

from __future__ import annotations

import os
from collections.abc import Iterator

from slimline.pipeline.content import files_below, walk
from slimline.stages.data.sources.layout import Layout, is_systems_own
from slimline.stages.data.sources.photo import MAGIC_BYTES, Listing, Photo, looks_like_a_photo, read_bytes
from slimline.stages.images.faults import Fault


def list_folder(asked: Listing) -> Iterator[Photo]:
    """List the photos below a folder: photos below `<class>/`, at any depth, show that class; links are followed."""
    prefix = len(os.fspath(asked.root / "x")) - 1
    inside = (os.fspath(path)[prefix:].split("/") for path in files_below(asked.root))
    layout = Layout.of((parts for parts in inside if not is_systems_own(parts)), classes=asked.class_folder)
    for found in walk(asked.root):
        path = os.fspath(found.path)
        parts = path[prefix:].split("/")
        if found.hidden or is_systems_own(parts):
            asked.pass_over("hidden" if found.hidden else "system")
            continue
        photo = layout.photo(Photo(path[prefix:], "", path), parts)
        if found.fault:
            yield photo._replace(problem=found.fault, fault=Fault.unreadable, skipped=False)
        elif photo.skipped and photo.label and _is_photo(path):
            yield photo._replace(skipped=False, problem="")
        else:
            yield photo


def _is_photo(path: str) -> bool:
    """Return whether a file is a photo although its name says otherwise; many collections use no extensions."""
    try:
        return looks_like_a_photo(read_bytes(path, 0, MAGIC_BYTES))
    except (OSError, ValueError):  # unreadable, or shorter than any photo
        return False
