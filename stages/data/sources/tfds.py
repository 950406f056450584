"""Data sets that tensorflow-datasets has prepared: `pip install -e '.[tfds]'`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.errors import Unavailable, Undecided, UserError
from stages.data.sources.layout import split_named
from stages.data.sources.photo import Listing, Photo


def is_prepared(root: Path) -> bool:
    """Say whether a folder is a prepared data set of one version."""
    return (root / "dataset_info.json").is_file() and (root / "features.json").is_file()


def prepare(name: str, data_dir: str | None, plan: bool) -> Path:
    """Return the folder of a data set by its tensorflow-datasets name, downloaded and prepared if it isn't yet.

    Raises:
        Undecided: it would have to be prepared, and `plan` is true.
        UserError: there is no such data set. Unavailable: it can't be had now.
    """
    tfds = _imported()
    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except (tfds.core.registered.DatasetNotFoundError, ValueError) as error:
        raise UserError(f"ingest.dataset={name}: {str(error).splitlines()[0]}", "See tfds.list_builders().") from error
    folder = Path(str(builder.data_path))
    if not is_prepared(folder):
        if plan:
            raise Undecided(f"the data set {name} would be downloaded and prepared")
        try:
            builder.download_and_prepare()
        except Exception as error:  # each data set's own code, and its host's
            raise Unavailable(
                f"ingest.dataset={name} can't be prepared: {type(error).__name__}: {str(error).splitlines()[0]}",
                f"It would lie in {folder}.",
            ) from error
    return folder


def list_prepared(asked: Listing) -> Iterator[Photo]:
    """List a prepared data set's photos in all of its splits, still encoded.

    Raises:
        UserError: it has no image with a class label.
    """
    tfds = _imported()
    builder = tfds.builder_from_directory(str(asked.root))
    features = builder.info.features
    image = next((name for name, kind in features.items() if isinstance(kind, tfds.features.Image)), None)
    label = next((name for name, kind in features.items() if isinstance(kind, tfds.features.ClassLabel)), None)
    if image is None or label is None:
        raise UserError(
            f"{asked.root} has no image with a class label; it has: {', '.join(features)}.", "Choose another."
        )
    for split in builder.info.splits:
        dataset = builder.as_dataset(split=split, decoders={image: tfds.decode.SkipDecoding()}, shuffle_files=False)
        for number, row in enumerate(dataset):
            name = features[label].int2str(int(row[label]))
            photo = Photo(f"{split}#{number}", name, split=split_named(split))
            yield asked.spool.add(photo, row[image].numpy()) if asked.spool else photo


def _imported() -> Any:
    try:
        import tensorflow_datasets
    except ImportError as error:
        raise UserError("tensorflow-datasets isn't installed.", "pip install -e '.[tfds]'") from error
    return tensorflow_datasets
