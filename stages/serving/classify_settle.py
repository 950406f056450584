"""Resolution of the photos and the model of `classify`, before anything runs."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from slimline.pipeline.content import files_below
from slimline.pipeline.errors import UserError
from slimline.stages.data.sources.photo import EXTENSIONS
from slimline.stages.imagenet.photo import photo_path
from slimline.stages.models.formats import find_model
from slimline.stages.serving.classify_config import ClassifyConfig

PARQUET = ".parquet"


def settle_images(config: ClassifyConfig, plan: bool) -> ClassifyConfig:
    """Find all photos and the model, before anything runs.

    Raises:
        UserError: a path or pattern leads to no photos, or the model was not found.
    """
    if config.model is not None:
        find_model(config.model, "classify.model")
    paths = [str(path) for path in _expand(config.images)] if config.images else [str(photo_path())]
    return replace(config, images=paths)


def _expand(patterns: list[str]) -> Iterator[Path]:
    for pattern in patterns:
        path = Path(pattern).expanduser()
        found = [path] if path.exists() else [Path(name) for name in sorted(glob.glob(str(path), recursive=True))]
        photos = [photo for one in found for photo in ([one] if one.is_file() else _photos_below(one))]
        if not photos:
            what = "contains no photos" if path.exists() else "does not exist, and matches no files"
            raise UserError(
                f"classify.images: {pattern} {what}.",
                f"List photos ({', '.join(EXTENSIONS)}), Parquet files with photos inside, folders or globs:"
                " 'classify.images=[photo.jpg,folder/]'",
            )
        yield from photos


def _photos_below(folder: Path) -> list[Path]:
    return [path for path in files_below(folder) if path.suffix.lower() in (*EXTENSIONS, PARQUET)]
