"""A folder that holds a folder of photos for each class, or the splits' folders, and these in them."""

from __future__ import annotations

import os
from collections.abc import Iterator

from pipeline.content import walk
from stages.data.sources.layout import Layout, is_photo_name, is_systems_own
from stages.data.sources.photo import Listing, Photo

MAGIC_BYTES = 12


def list_folder(asked: Listing) -> Iterator[Photo]:
    """List the photos below a folder: each below `<class>/` shows that class, at whatever depth; links are followed."""
    prefix = len(os.fspath(asked.root)) + 1
    names = (os.fspath(found.path)[prefix:] for found in walk(asked.root) if not (found.fault or found.hidden))
    layout = Layout.of(parts for name in names if not is_systems_own(parts := name.split("/")) and is_photo_name(name))
    for found in walk(asked.root):
        path = os.fspath(found.path)
        parts = path[prefix:].split("/")
        if found.hidden or is_systems_own(parts):
            asked.pass_over("hidden" if found.hidden else "system")
            continue
        photo = layout.photo(Photo(path[prefix:], "", path), parts)
        if found.fault:
            yield photo._replace(problem=found.fault, skipped=False)
        elif photo.skipped and photo.label and _looks_like_a_photo(path):
            yield photo._replace(skipped=False, problem="")
        else:
            yield photo


def _looks_like_a_photo(path: str) -> bool:
    """Say whether a file that isn't named as a photo is one all the same; many collections name no extensions."""
    from stages.data.formats import sniff

    try:
        with open(path, "rb") as file:  # noqa: PTH123  # a million Paths cost a second
            return sniff(file.read(MAGIC_BYTES)) is not None
    except OSError:
        return False
