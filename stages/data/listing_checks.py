"""Checks of a source's listing, before anything runs: a source that can't be trained on is refused with advice."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from slimline.pipeline.errors import UserError
from slimline.stages.data.config import IngestConfig
from slimline.stages.data.sources.detection import ARCHIVES, MANIFESTS
from slimline.stages.data.sources.kinds import SourceKind
from slimline.stages.data.sources.layout import Layout, is_hidden, is_systems_own
from slimline.stages.data.sources.manifest import paths_named
from slimline.stages.data.sources.manifest_rows import guessed_columns
from slimline.stages.data.sources.named_files import holds_any, photo_folder
from slimline.stages.data.sources.photo import ClassFolder, Listing, Photo, setting
from slimline.stages.data.sources.split_names import are_all_splits
from slimline.stages.data.sources.table import SOURCES
from slimline.stages.data.splitting.classes import check_classes, warn_of_names
from slimline.stages.data.splitting.config import SPLITS
from slimline.stages.images.faults import Fault

log = logging.getLogger(__name__)

MOST_SHOWN = 3
FOLDERS = (SourceKind.folder, SourceKind.archive)


class Listed:
    """What a source's listing shows: its layout, its usable photos by class, and what can't be used."""

    def __init__(self, kind: str, path: Path, config: IngestConfig) -> None:
        """List a source of this kind at a path."""
        self.counts: Counter[str] = Counter()
        self.labels: set[str] = set()
        self.extensions: Counter[str] = Counter()
        self.problems: list[str] = []
        self.rows = self.loose = 0
        found = SOURCES[kind](Listing(path, config.columns, class_folder=config.class_folder))
        self.layout = Layout.of(self._parts(found), kind == SourceKind.archive, config.class_folder)

    def _parts(self, found: Iterable[Photo]) -> Iterator[Sequence[str]]:
        for photo in found:
            self._add(photo)
            yield photo.path.split("/")

    def _add(self, photo: Photo) -> None:
        self.rows += 1
        if photo.label and not photo.skipped:
            self.labels.add(photo.label)
        if photo.fault is Fault.no_class_folder:
            self.loose += 1
        elif photo.skipped:
            self.extensions[PurePosixPath(photo.path).suffix.lower() or "without extension"] += 1
        elif photo.problem and len(self.problems) < MOST_SHOWN:
            self.problems.append(f"{photo.path}: {photo.problem}")
        elif photo.label and not photo.problem:
            self.counts[photo.label] += 1


def check_listing(kind: str, path: Path, config: IngestConfig) -> None:
    """List a source, and refuse one that can't be trained on; warn about what is probably not meant.

    Raises:
        UserError: it holds no photos, one class only, classes that are splits, or too few photos of a class.
    """
    listed = Listed(kind, path, config)
    if kind in FOLDERS:
        _check_folders(kind, path, config, listed)
    elif listed.rows and not listed.counts:
        raise UserError(
            f"None of the {listed.rows:,} photos in {path} can be used.", f"For example: {'; '.join(listed.problems)}"
        )
    elif not listed.rows:
        raise UserError(
            f"{path} has no rows: it lists no photos.", "Write one row per photo, below the names of columns."
        )
    check_classes(listed.counts, len(SPLITS), str(path))
    warn_of_names(sorted(listed.counts))
    if kind == SourceKind.folder:
        _warn_of_empty_folders(path, listed)
    _warn_of_shared_folders(listed.layout, config.class_folder)


def _check_folders(kind: str, path: Path, config: IngestConfig, listed: Listed) -> None:
    if are_all_splits(listed.counts):
        raise UserError(
            f"{path} holds {_some(sorted(listed.counts))}, which are named after splits, but hold no class folders.",
            f"Put the photos of each class into a folder of its own: {path}/train/daisy/1.jpg, {path}/test/daisy/2.jpg",
            "If these are classes, rename them.",
        )
    if len(listed.counts) > 1:
        return
    manifests = list(_manifests_in(path, config)) if kind == SourceKind.folder else []
    if manifests:
        names = _some([manifest.name for manifest, _ in manifests])
        raise UserError(
            f"{path} holds {_without_classes(listed)}, but {names} {'lists' if len(manifests) == 1 else 'list'} photos"
            " with their classes.",
            *(f"To use {manifest.name}: {settings}" for manifest, settings in manifests[:MOST_SHOWN]),
        )
    if listed.counts and kind == SourceKind.folder:
        _refuse_one_too_high(path, config)
    if not listed.counts:
        raise _without_photos(kind, path, listed)


def _without_classes(listed: Listed) -> str:
    if listed.counts:
        return f"one folder of photos, {next(iter(listed.counts))}"
    return f"{listed.loose:,} photos, none in a class folder" if listed.loose else "no photos in class folders"


def _refuse_one_too_high(path: Path, config: IngestConfig) -> None:
    """Refuse a folder if the only folder with photos in it, at any depth, holds the classes."""
    inner, names = path, list[str]()
    while True:
        counts = Listed(SourceKind.folder, inner, config).counts
        if len(counts) != 1:
            break
        names.append(next(iter(counts)))
        inner = inner / names[-1]
    if len(counts) > 1:
        raise UserError(
            f"{path} holds one folder, {'/'.join(names)}, which holds {len(counts)} classes:"
            f" {setting('ingest.images', inner)}"
        )


def _without_photos(kind: str, path: Path, listed: Listed) -> UserError:
    if listed.loose:
        return UserError(
            f"{path} holds {listed.loose:,} photos, none in a class folder.",
            "Put the photos of each class into a folder of its own, named after the class:"
            " daisy/1.jpg, daisy/2.jpg, roses/1.jpg, ...",
            "Or list them with their classes in a manifest: ingest.images=photos.csv, with the columns path and label.",
        )
    archives = [one for one in sorted(path.iterdir()) if one.name.lower().endswith(ARCHIVES)] if path.is_dir() else []
    if archives:
        shown = " or ".join(setting("ingest.images", one) for one in archives[:MOST_SHOWN])
        return UserError(f"{path} holds no photos, but {_some([one.name for one in archives])}.", f"Write {shown}")
    files = ", ".join(f"{count:,} {extension}" for extension, count in listed.extensions.most_common(MOST_SHOWN))
    problems = [f"For example: {'; '.join(listed.problems)}"] if listed.problems else []
    return UserError(
        f"{path} holds no photos{f', but other files: {files}' if files else ''}.",
        *problems,
        "It must hold one folder per class, with photos in it (.jpg, .png, .gif, .bmp, .webp, .heic).",
    )


def _manifests_in(folder: Path, config: IngestConfig) -> Iterator[tuple[Path, str]]:
    """Yield the manifests in a folder whose photos exist, and the settings that use each."""
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in MANIFESTS or not path.is_file() or path.name.startswith("."):
            continue
        try:
            guessed = guessed_columns(path, config.columns)
            columns = replace(config.columns, path=guessed.get("path", ""), label=guessed.get("label", ""))
            fits = bool(guessed) and holds_any(
                photo_folder(path, paths_named(path, columns)), paths_named(path, columns)
            )
        except UserError:  # it is another kind of table
            continue
        if fits:
            changed = {key: name for key, name in guessed.items() if getattr(config.columns, key) != name}
            settings = [setting(f"ingest.columns.{key}", name) for key, name in changed.items()]
            yield path, " ".join([setting("ingest.images", path), *settings])


def _warn_of_empty_folders(root: Path, listed: Listed) -> None:
    for name in sorted(_class_folders(root, listed.layout) - listed.labels):
        log.warning("ingest: the folder %s holds no photos, so there is no class of this name", name)


def _class_folders(root: Path, layout: Layout) -> set[str]:
    outer = set(_folders_in(root))
    if layout.outer_splits:
        outer &= set(layout.outer_splits)
    elif not layout.inner_classes:
        return outer
    return {name for folder in outer for name in _folders_in(root / folder)}


def _folders_in(folder: Path) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir() and not is_hidden([entry.name]) and not is_systems_own([entry.name]):
                yield entry.name


def _warn_of_shared_folders(layout: Layout, chosen: ClassFolder) -> None:
    if chosen is not ClassFolder.auto or layout.shared is None:
        return
    outer, inner = map(_some, layout.shared)
    if layout.inner_classes:
        log.warning("ingest: %s are years, so the folders inside are the classes: %s", outer, inner)
        log.warning("ingest: if %s are the classes, set ingest.class_folder=outer", outer)
    else:
        log.warning("ingest: %s are the classes; each holds the same folders: %s", outer, inner)
        log.warning("ingest: if %s are the classes, set ingest.class_folder=inner", inner)


def _some(names: Sequence[str]) -> str:
    shown = list(names[:MOST_SHOWN])
    if more := len(names) - len(shown):
        return f"{', '.join(shown)} and {more:,} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
