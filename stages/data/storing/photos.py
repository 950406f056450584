"""A split's photos by number: their places, from which the bytes are read when needed."""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from slimline.stages.backend.tensorflow import tf
from slimline.stages.data.splitting.config import split_names
from slimline.stages.data.storing.records import parse_record

COLUMNS = ["label", "sha256", "shard", "offset", "length"]
READERS = 4


class Photos:
    """A split's photos in the order of their shards; the split `all` means those of all splits.

    `labels` [count] int64 are class numbers.

    `sources` are the sha256 (hex) of the source's bytes, by which `index.parquet` and the records identify photos.

    `numbers` [count] int64 identify photos independently of the split: they are the first 63 bits of the sha256.
    """

    def __init__(self, ingest: Path, split: str) -> None:
        """Read the places of the photos, without reading the photos."""
        self._folder = ingest
        classes = (ingest / "labels.txt").read_text(encoding="utf-8").splitlines()
        wanted = [("outcome", "=", "used"), ("split", "in", split_names(split))]
        table = pq.read_table(ingest / "index.parquet", columns=COLUMNS, filters=wanted)
        table = table.sort_by([("shard", "ascending"), ("offset", "ascending")])
        places = {name: number for number, name in enumerate(classes)}
        self.labels: NDArray[np.int64] = np.array([places[name] for name in table["label"].to_pylist()], np.int64)
        self.sources: list[str] = table["sha256"].to_pylist()
        self.numbers: NDArray[np.int64] = np.array([int(name[:16], 16) >> 1 for name in self.sources], np.int64)
        self._shards = table["shard"].to_pylist()
        self._offsets, self._lengths = (table[name].to_numpy() for name in ("offset", "length"))
        self._maps: dict[str, mmap.mmap] = {}

    def __len__(self) -> int:
        return len(self.labels)

    def encoded(self, number: int) -> bytes:
        """Read one photo's bytes."""
        begin = int(self._offsets[number])
        record = parse_record(self._map(self._shards[number])[begin : begin + int(self._lengths[number])])
        encoded: bytes = record["image/encoded"].bytes_list.value[0]
        return encoded

    @cached_property
    def keys(self) -> list[str]:
        """The sha256 (hex) of each photo's stored bytes."""
        with ThreadPoolExecutor(READERS) as executor:
            return list(executor.map(lambda number: hashlib.sha256(self.encoded(number)).hexdigest(), range(len(self))))

    def dataset(self, order: Sequence[int] | NDArray[Any]) -> Any:
        """Return photos in a given order: a dataset of `encoded` (string), `label`, `number` and `place` (int64)."""

        def read(place: Any) -> bytes:
            return self.encoded(int(place))

        def row(place: Any, label: Any, number: Any) -> dict[str, Any]:
            # Not Dataset.from_generator: after it, malloc maps every large block separately (TensorFlow calls mallopt
            # because of Python 3.11), and zeroing pages took a twelfth of a training's time.
            encoded = tf.ensure_shape(tf.numpy_function(read, [place], tf.string), [])
            return {"encoded": encoded, "label": label, "number": number, "place": place}

        chosen = np.asarray(order, np.int64)
        columns = chosen, self.labels[chosen], self.numbers[chosen]
        return tf.data.Dataset.from_tensor_slices(columns).map(tf.autograph.experimental.do_not_convert(row))

    def _map(self, shard: str) -> mmap.mmap:
        if shard not in self._maps:
            with (self._folder / shard).open("rb") as file:
                self._maps[shard] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return self._maps[shard]
