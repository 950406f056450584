"""Datasets of the package tensorflow-datasets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from slimline.pipeline.errors import Unavailable, Undecided, UserError
from slimline.stages.data.sources.photo import Listing, Photo
from slimline.stages.data.sources.split_names import split_named
from slimline.stages.images.faults import Fault


def is_prepared(root: Path) -> bool:
    """Return whether a folder is one version of a prepared dataset."""
    return (root / "dataset_info.json").is_file() and (root / "features.json").is_file()


def prepare(name: str, data_dir: str | None, plan: bool) -> Path:
    """Return the folder of a dataset by its tensorflow-datasets name; download and prepare it if necessary.

    Raises:
        Undecided: it would have to be prepared, and `plan` is true.
        UserError: the dataset does not exist, or a package is missing.
        Unavailable: the download is not available now.
    """
    tfds = _imported()
    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except Exception as error:  # unknown name, configuration or version, or a failed import of the dataset's own code
        raise UserError(
            f"ingest.dataset={name}: {type(error).__name__}: {_first_line(error)}",
            "Choose a name from tfds.list_builders().",
        ) from error
    folder = Path(str(builder.data_path))
    if not is_prepared(folder):
        if plan:
            raise Undecided(f"the dataset {name} would be downloaded and prepared")
        try:
            builder.download_and_prepare()
        except ImportError as error:  # many datasets need a package of their own
            raise UserError(
                f"ingest.dataset={name} can't be prepared: {error}.", f"pip install {error.name or 'what it needs'}"
            ) from error
        except Exception as error:  # errors of each dataset's own code, and of its host
            raise Unavailable(
                f"ingest.dataset={name} can't be prepared: {type(error).__name__}: {_first_line(error)}",
                f"Run again later, or prepare it by hand in {folder}.",
            ) from error
    return folder


def list_prepared(asked: Listing) -> Iterator[Photo]:
    """List a prepared dataset's photos in all of its splits, still encoded.

    The image and the label are the features that `ingest.columns` names, else the dataset's supervised keys, else the
    first of their kind. Splits are used if one of them is the training split.

    Raises:
        UserError: it has no image with a class label.
    """
    from slimline.stages.backend.tensorflow import tf

    tfds = _imported()
    builder = tfds.builder_from_directory(str(asked.root))
    image, label = _features(asked, builder.info, tfds)
    names = builder.info.features[label].names
    decoders = tfds.decode.PartialDecoding({image: True, label: True}, decoders={image: tfds.decode.SkipDecoding()})
    is_split = any(split_named(split) == "train" for split in builder.info.splits)
    for split in builder.info.splits:
        place = Photo("", "", split=split_named(split) if is_split else "")
        rows = iter(builder.as_dataset(split=split, decoders=decoders, shuffle_files=False))
        for number in range(1 << 62):
            try:
                row = next(rows)
            except StopIteration:
                break
            except tf.errors.OpError:
                problem = "the split is damaged here; the rest can't be read"
                yield place._replace(path=f"{split}#{number}", problem=problem, fault=Fault.damaged)
                break
            index = int(row[label])
            photo = place._replace(path=f"{split}#{number}", label=names[index] if 0 <= index < len(names) else "")
            if photo.label:
                yield asked.placed(photo, row[image].numpy())
            else:
                problem = f"its label is {index}, which stands for no label"
                yield photo._replace(problem=problem, fault=Fault.unlabeled)


def _features(asked: Listing, info: Any, tfds: Any) -> tuple[str, str]:
    """Return the names of the features that hold the image and its class."""
    supervised = [name for name in info.supervised_keys or () if isinstance(name, str)]
    found = []
    for column, kind in ((asked.columns.image, tfds.features.Image), (asked.columns.label, tfds.features.ClassLabel)):
        there = [name for name, feature in info.features.items() if isinstance(feature, kind)]
        found.append(next((name for name in (column, *supervised) if name in there), there[0] if there else ""))
    image, label = found
    if not image or not label:
        raise UserError(
            f"{asked.root} has no image with a class label; it has: {', '.join(info.features)}.",
            "Choose another dataset.",
        )
    return image, label


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), "")


def _imported() -> Any:
    try:
        import tensorflow_datasets
    except ImportError as error:
        raise UserError(
            f"ingest=tfds needs {(error.name or 'tensorflow_datasets').replace('_', '-')}, which isn't installed.",
            "pip install tensorflow-datasets importlib-resources",
        ) from error
    return tensorflow_datasets
