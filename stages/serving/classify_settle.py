"""Resolution of the photos and the model of `classify`, before anything runs."""

from __future__ import annotations

import glob
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from slimline.pipeline.errors import UserError, nearest
from slimline.stages.data.checking.input_files import InputFile, at_first_sight, input_files, printable
from slimline.stages.data.sources.named_files import is_file_url, readings
from slimline.stages.imagenet.photo import photo_path
from slimline.stages.images.faults import Fault, left_out_line
from slimline.stages.models.formats import find_model
from slimline.stages.serving.classify_config import ClassifyConfig

KEY = "classify.images"
ACCEPTED = (
    "photos (JPEG, PNG, GIF, BMP, WebP, TIFF, AVIF, HEIC), folders, patterns such as 'folder/*.jpg', or Parquet files"
    " and archives (zip, tar, tar.gz) with photos inside"
)
WILD = "*?["
MOST_NAMED = 5


def settle_images(config: ClassifyConfig, plan: bool) -> ClassifyConfig:
    """Find the photos and the model, before anything runs.

    Raises:
        UserError: a path or pattern leads to no file, nothing that it leads to can be read, or the model was not found.
    """
    if config.model is not None:
        find_model(config.model, "classify.model")
    inputs = find_inputs(config.images) or [photo_path()]
    _require_photos(inputs)
    return replace(config, images=[str(path) for path in inputs])


def find_inputs(patterns: Sequence[str]) -> list[Path]:
    """Return the files and folders that paths and patterns lead to.

    A path or pattern is taken as it is if it leads to a file, else in another reading, such as with slashes for
    backslashes; `file://...` names a path.

    Raises:
        UserError: one of them leads to no file.
    """
    return [path for pattern in patterns for path in _found(pattern)]


def _found(pattern: str) -> list[Path]:
    for form in dict.fromkeys(readings(pattern)):
        path = Path(form).expanduser()
        if form and _exists(path):
            return [path]
        if found := sorted(glob.glob(_with_plain_folders(str(path)), recursive=True)):
            return [Path(name) for name in found]
    raise _nothing_at(pattern.strip())


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that is too long
        return False


def _with_plain_folders(pattern: str) -> str:
    """Escape the folders at the beginning of a pattern that exist under that name, such as `photos [2024]`."""
    known, rest = _existing_part(pattern)
    return str(Path(glob.escape(str(known)), rest))


def _existing_part(pattern: str) -> tuple[Path, Path]:
    """Split a path into the folders at its beginning that exist, and the rest."""
    parts = Path(pattern).parts
    known = Path()
    for number, part in enumerate(parts):
        if not _exists(known / part):
            return known, Path(*parts[number:])
        known = known / part
    return known, Path()


def _nothing_at(pattern: str) -> UserError:
    if "://" in pattern and not is_file_url(pattern):
        return UserError(
            f"{KEY}: {pattern} is an address, and classify reads files of this machine.",
            f"Download it first: curl -LO {shlex.quote(pattern)}",
        )
    path = Path(next(iter(readings(pattern)))).expanduser()
    is_pattern = any(letter in str(_existing_part(str(path))[1]) for letter in WILD)
    what = "matches no files" if is_pattern else "does not exist"
    if path.parent.is_dir() and (near := _nearest_in(path.parent, path.name)):
        asked = shlex.quote(f"{KEY}={near}")
        return UserError(f"{KEY}: {pattern} {what}. Did you mean {near}?", f"Write {asked}")
    looked = "" if is_pattern else f" (looked for {path.absolute()})"
    return UserError(f"{KEY}: {pattern} {what}{looked}.", _accepted())


def _nearest_in(folder: Path, name: str) -> str:
    """Return the path in a folder that is most like a name, or an empty text."""
    there = {path.name: path for path in folder.iterdir() if not path.name.startswith(".")}
    found = nearest(name, there).removeprefix(" Did you mean ").removesuffix("?")
    return str(there[found]) if found in there else ""


def _accepted() -> str:
    return f"List {ACCEPTED}: 'classify.images=[photo.jpg,folder/]'"


def _require_photos(inputs: Sequence[Path]) -> None:
    """Check that something can be read, as far as names and first bytes show it.

    Raises:
        UserError: nothing can be read.
    """
    faults: Counter[Fault] = Counter()
    first: list[InputFile] = []
    others: list[InputFile] = []
    for file in map(at_first_sight, input_files(inputs)):
        if not file.problem and not file.skipped:
            return
        if file.skipped:
            others.append(file)
        else:
            faults[file.fault] += 1
            first += [file] if len(first) < MOST_NAMED else []
    told = [f"  {printable(str(file.path))}: {file.problem}" for file in first]
    if others:
        told.append(f"  Files that are not images: {len(others):,}, such as {printable(str(others[0].path))}")
    if faults.total() > len(first):
        told.append(left_out_line(faults, faults.total()))
    raise UserError(f"{KEY} leads to no photo that can be read:", *told, _accepted())
