"""Cached features: one Arrow file per split, memory-mapped when read."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from slimline.pipeline.progress import Advance
from slimline.stages.backend.tensorflow import tf
from slimline.stages.data.storing.photo_cache import PhotoCache
from slimline.stages.data.storing.records import read_batches
from slimline.stages.images.batches import run_prepared, without_autotune
from slimline.stages.images.preprocessing_config import Preprocessing

MIRRORED = "train_mirrored"
"""The file that holds the features of the training photos' mirror images, next to the files of the splits."""

SPREAD = 13.0
"""The spread of features that heads train on: EfficientNet-Lite0's on flowers, for which the defaults were chosen."""


def feature_scale(features: NDArray[np.float32]) -> np.float32:
    """Return the factor that scales features [count, width] to the spread SPREAD: the RMS distance from their mean.

    MobileNet-v1's spread is 1.7 times EfficientNet-Lite0's: without scaling, no single weight decay suits both (half a
    percentage point of accuracy on flowers). Features that are all equal are not scaled.
    """
    spread = np.sqrt(np.sum(np.var(features, axis=0, dtype=np.float64)))
    return np.float32(SPREAD / spread if spread > 0 else 1)


class FeaturePhotos(NamedTuple):
    """A split's photos in the order of the records.

    `keys` are the sha256 (hex) of the stored bytes, on which the features depend; `sha256s` are those of the source's
    bytes, which ingest may have scaled down.
    """

    keys: list[str]
    sha256s: list[str]
    labels: list[int]

    def mirrored(self) -> FeaturePhotos:
        """Return the photos' mirror images, whose keys differ from those of the photos."""
        return self._replace(keys=[f"{key}-mirrored" for key in self.keys])


def read_photos(ingest: Path, split: str, advance: Advance) -> FeaturePhotos:
    """Read the keys and labels of a split's photos; the keys of 2,926 flower photos (187 MB) take 0.11 s."""
    photos = FeaturePhotos([], [], [])
    columns = ("encoded", "sha256", "label")
    for batch in read_batches(ingest, split, columns).with_options(without_autotune()).as_numpy_iterator():
        photos.keys.extend(hashlib.sha256(encoded).hexdigest() for encoded in batch["encoded"])
        photos.sha256s.extend(name.decode() for name in batch["sha256"])
        photos.labels.extend(batch["label"].tolist())
        advance(len(batch["label"]))
    return photos


def missing_photos(photos: Mapping[str, FeaturePhotos], cache: PhotoCache) -> dict[str, NDArray[np.bool_]]:
    """Mark in each split [count] the photos to compute: the first of each key that the cache lacks."""
    seen: set[str] = set()
    marks = {}
    for split, own in photos.items():
        marks[split] = np.zeros(len(own.keys), bool)
        for row, key in enumerate(own.keys):
            if key not in cache and key not in seen:
                marks[split][row] = True
                seen.add(key)
    return marks


def missing_records(ingest: Path, photos: Mapping[str, FeaturePhotos], missing: Mapping[str, NDArray[np.bool_]]) -> Any:
    """Return the marked records, in order, as a dataset of `encoded` and `key`."""
    chosen = [
        _marked_records(ingest, split, photos[split].keys, marks) for split, marks in missing.items() if marks.any()
    ]
    return reduce(lambda one, more: one.concatenate(more), chosen)


def _marked_records(ingest: Path, split: str, keys: list[str], marks: NDArray[np.bool_]) -> Any:
    records = read_batches(ingest, split, ("encoded",)).unbatch()
    about = tf.data.Dataset.from_tensor_slices({"key": keys, "marked": marks})
    unconverted = tf.autograph.experimental.do_not_convert
    chosen = tf.data.Dataset.zip(records, about).filter(unconverted(lambda record, about: about["marked"]))
    return chosen.map(unconverted(lambda record, about: {**record, "key": about["key"]}))


def compute_features(
    records: Any,
    cache: PhotoCache,
    wanted: Preprocessing,
    bottleneck: Callable[[Any], Any],
    batch_size: int,
    advance: Advance,
) -> None:
    """Run the bottleneck over a dataset of `encoded` and `key`, and store the results in the cache.

    A photo's features don't depend on the other photos in its batch, to the last bit, as long as all batches have the
    same size: checked with EfficientNet-Lite0 and MobileNet-v1, in float32 and bfloat16.
    """
    with cache.writing() as add:
        for values, others in run_prepared(bottleneck, records, wanted, batch_size):
            add([key.decode() for key in others["key"].numpy()], values)
            advance(len(values))


def write_features(path: Path, photos: FeaturePhotos, cache: PhotoCache, batch_size: int) -> None:
    """Write a split's features from the cache into one Arrow file, in record batches of `batch_size` photos."""
    [width] = cache.shape
    fields = [("sha256", pa.string()), ("label", pa.int64()), ("features", pa.list_(pa.float32(), width))]
    schema = pa.schema(fields)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        for start in range(0, len(photos.keys), batch_size):
            rows = slice(start, start + batch_size)
            features = pa.FixedSizeListArray.from_arrays(pa.array(cache.read(photos.keys[rows]).reshape(-1)), width)
            columns = [pa.array(photos.sha256s[rows], pa.string()), pa.array(photos.labels[rows], pa.int64()), features]
            writer.write_batch(pa.record_batch(columns, schema=schema))


def read_features(path: Path) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Read a split's features [count, width] float32 and labels [count] int64."""
    features, labels, _ = feature_arrays(pa.ipc.open_file(pa.memory_map(str(path))).read_all())
    return features, labels


def read_training_features(folder: Path) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Read the features and labels of the training photos, then those of their mirror images, if these have any."""
    features, labels = read_features(folder / "train.arrow")
    mirrored = folder / f"{MIRRORED}.arrow"
    if not mirrored.is_file():
        return features, labels
    more, same = read_features(mirrored)
    return np.concatenate([features, more]), np.concatenate([labels, same])


def feature_blocks(
    paths: Sequence[Path], most: int
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64], pa.Array]]:
    """Yield the content of several splits' files in blocks of similar sizes, at most about `most` photos each."""
    readers = [pa.ipc.open_file(pa.memory_map(str(path))) for path in paths]
    batches = [reader.get_batch(number) for reader in readers for number in range(reader.num_record_batches)]
    total = sum(len(batch) for batch in batches)
    size = math.ceil(total / max(1, math.ceil(total / most)))
    waiting: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        waiting.append(batch)
        count += len(batch)
        if count >= size:
            yield feature_arrays(pa.Table.from_batches(waiting))
            waiting, count = [], 0
    if waiting:
        yield feature_arrays(pa.Table.from_batches(waiting))


def feature_arrays(table: pa.Table) -> tuple[NDArray[np.float32], NDArray[np.int64], pa.Array]:
    """Return a table's features [count, width] float32, labels [count] int64 and sha256 [count] in hex."""
    column = table.column("features").combine_chunks()
    width = column.type.list_size
    return column.flatten().to_numpy().reshape(-1, width), table.column("label").to_numpy(), table.column("sha256")
