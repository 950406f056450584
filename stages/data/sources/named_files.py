"""Files that the cells of a manifest name: paths as people and programs write them."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from urllib.parse import unquote

FILE_URL = re.compile(r"file:(//(localhost)?(?=/)|//)?", re.IGNORECASE)
LATIN_1 = "cp1252"
MOST_LOOKED_AT, MOST_FOLDERS = 20, 100


def file_named(folder: str, text: str) -> str:
    """Return the path of the file that a cell names: absolute, or relative to `folder`.

    If there is no file of exactly this name, other readings are tried: without outer spaces, a `file://` URL, slashes
    for backslashes, accents in the other form of Unicode, and Latin-1. If none of them names a file, the first one is
    the path.
    """
    if _is_plain(text):
        return os.path.join(folder, text)  # noqa: PTH118  # a million Paths cost seconds
    paths = [os.path.join(folder, one) for one in readings(text)]  # noqa: PTH118
    return next((path for path in paths if os.path.isfile(path)), paths[0])  # noqa: PTH113


def _is_plain(text: str) -> bool:
    return text.isascii() and text == text.strip() and "\\" not in text and not is_file_url(text)


def is_file_url(text: str) -> bool:
    """Return whether a text is a `file:` URL."""
    return FILE_URL.match(text.lstrip()) is not None


def path_of_url(text: str) -> str:
    """Return the path that a `file:` URL names; %20 and the like are decoded."""
    return unquote(_without_scheme(text), errors="surrogateescape")


def _without_scheme(text: str) -> str:
    return FILE_URL.sub("", text.strip(), count=1)


def readings(text: str) -> Iterator[str]:
    """Yield the names that a cell may mean, the most literal one first."""
    literal = [path_of_url(text), _without_scheme(text), text] if is_file_url(text) else [text, text.strip()]
    yield from literal
    for one in literal:
        slashed = one.replace("\\", "/")
        yield slashed
        yield from (unicodedata.normalize(form, slashed) for form in ("NFC", "NFD"))
        try:
            yield slashed.encode("utf-8", "surrogateescape").decode(LATIN_1)
        except UnicodeError:
            continue


def photo_folder(manifest: Path, paths: Iterable[str]) -> Path:
    """Return the folder that a manifest's paths are relative to: its own, or the one folder next to it that fits.

    Many data sets have a manifest with mere names next to a folder that holds all photos.
    """
    own = manifest.parent
    some = list(islice(paths, MOST_LOOKED_AT))
    if not some or holds_any(own, some):
        return own
    try:
        folders = [one for one in sorted(own.iterdir())[:MOST_FOLDERS] if one.is_dir() and not one.name.startswith(".")]
    except OSError:
        return own
    fitting = [folder for folder in folders if holds_any(folder, some)]
    return fitting[0] if len(fitting) == 1 else own


def holds_any(folder: Path, paths: Iterable[str]) -> bool:
    """Return whether one of the first paths of a manifest is that of a file in a folder."""
    some = islice(paths, MOST_LOOKED_AT)
    return any(os.path.isfile(file_named(os.fspath(folder), path)) for path in some)  # noqa: PTH113
