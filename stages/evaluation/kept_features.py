"""Features of encoded photos in float32, kept by the content of the photo and of the layers below the head."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from slimline.pipeline.memo import Memo
from slimline.stages.backend.tensorflow import tf
from slimline.stages.data.storing.photo_cache import PhotoCache
from slimline.stages.images.batches import AT_ONCE, BATCH_SIZE, run_padded
from slimline.stages.images.parallel import in_parallel
from slimline.stages.images.preprocessing import preprocess_batch
from slimline.stages.images.preprocessing_config import Preprocessing
from slimline.stages.models.card import Card
from slimline.stages.models.trained import trained_head_only
from slimline.stages.networks.architectures.head_scope import SCOPE
from slimline.stages.networks.graphs.halves import Halves, read_halves

T = TypeVar("T")

_building = Lock()
_built: dict[tuple[str, Preprocessing], Callable[[Any], Any]] = {}
"""The layers below the head that were built last, from encoded photos to features, by their content."""


class KeptFeatures:
    """A frozen model of which the layers below the head run only on photos that no earlier run has computed.

    A photo's features do not depend on the other photos in its batch, to the last bit, as all batches have the same
    size: checked with EfficientNet-Lite0. So the outputs are those of the whole model, computed or kept.
    """

    def __init__(self, halves: Halves, card: Card, memo: Memo, most_bytes: int | None = None) -> None:
        """Keep features in `memo`; once it has `most_bytes` of them, others are used without being kept."""
        self._halves, self._wanted, self._most_bytes = halves, card.preprocessing, most_bytes
        wanted = asdict(card.preprocessing)
        folder = memo.folder(lower=halves.digest, preprocessing=wanted, batch_size=BATCH_SIZE)
        self._cache = PhotoCache(folder, (halves.width,), "float32")
        self._loose: dict[str, NDArray[np.float32]] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._cache or key in self._loose

    def compute(self, photos: Iterable[tuple[str, bytes]]) -> int:
        """Compute the features of photos, given by their keys and encoded bytes, that are missing; return how many."""
        full = self._most_bytes is not None and self._cache.size_bytes >= self._most_bytes
        count = 0
        with self._cache.writing() as add:
            for keys, features in in_parallel(self._features, _batches(self._missing(photos)), AT_ONCE):
                if full:
                    self._loose.update(zip(keys, features, strict=True))
                else:
                    add(keys, features)
                count += len(keys)
        return count

    def outputs(self, keys: Sequence[str]) -> NDArray[Any]:
        """Return the model's outputs for photos whose features were computed: [count, classes]."""
        features = [self._loose[key] if key in self._loose else self._cache.read([key])[0] for key in keys]
        batches = (tf.constant(np.stack(batch)) for batch in _batches(features))
        return np.concatenate([run_padded(self._halves.head, batch, BATCH_SIZE).numpy() for batch in batches])

    def _missing(self, photos: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
        seen = set()
        for key, encoded in photos:
            if key not in self and key not in seen:
                seen.add(key)
                yield key, encoded

    def _features(self, batch: Sequence[tuple[str, bytes]]) -> tuple[list[str], NDArray[np.float32]]:
        encoded = tf.constant([one for _, one in batch], tf.string)
        return [key for key, _ in batch], run_padded(self._lower(), encoded, BATCH_SIZE).numpy()

    def _lower(self) -> Callable[[Any], Any]:
        content = self._halves.digest, self._wanted
        with _building:
            if content not in _built:
                lower, wanted = self._halves.lower(), self._wanted
                function = tf.function(lambda encoded: lower(preprocess_batch(encoded, wanted)), autograph=False)
                _built.clear()
                _built[content] = function.get_concrete_function(tf.TensorSpec([None], tf.string))
            return _built[content]


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    waiting = iter(items)
    while batch := list(islice(waiting, BATCH_SIZE)):
        yield batch


def kept_features(
    frozen: Path, train: Path, card: Card, memo: Memo, most_bytes: int | None = None
) -> KeptFeatures | None:
    """Return the kept features of the model in the file `frozen`, whose training is in the folder `train`.

    Return None if its layers below the head are of no use for another model, because the training changed them, or if
    it has no single input of the head.
    """
    halves = read_halves(frozen, SCOPE) if not card.flips and trained_head_only(train) else None
    return KeptFeatures(halves, card, memo, most_bytes) if halves else None
