"""Predictions from encoded bytes: the classes' probabilities, the best names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.data.batches import run_prepared
from stages.model import Card
from stages.tensorflow import tf

BATCH_SIZE = 16


class Guess(NamedTuple):
    """One class that a photo may show, and its probability."""

    name: str
    score: float


def probabilities(logits: NDArray[Any]) -> NDArray[Any]:
    """Return the softmax over the last axis, in float64."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    result: NDArray[Any] = shifted / shifted.sum(axis=-1, keepdims=True)
    return result


class Predictor:
    """A model ready to say what photos show."""

    def __init__(self, card: Card, logits: Any) -> None:
        """Wrap `logits`, a function from images [batch, side, side, 3] float32 to [batch, classes]."""
        self._logits, self._preprocessing, self.labels = logits, card.preprocessing, card.labels

    def logits(self, records: Any) -> tuple[NDArray[Any], dict[str, list[Any]]]:
        """Run over a dataset of records with `encoded`: logits [count, classes] and the records' other columns."""
        outputs, columns = [], []
        for values, others in run_prepared(self._logits, records, self._preprocessing, BATCH_SIZE):
            outputs.append(values)
            columns.append({name: value.numpy().tolist() for name, value in others.items()})
        merged = {name: [item for batch in columns for item in batch[name]] for name in columns[0]}
        return np.concatenate(outputs), merged

    def top(self, encoded: Sequence[bytes], count: int) -> list[list[Guess]]:
        """Return each photo's `count` likeliest classes, best first."""
        records = tf.data.Dataset.from_tensor_slices({"encoded": list(encoded)})
        scores = probabilities(self.logits(records)[0])
        return [
            [Guess(self.labels[index], float(row[index])) for index in np.argsort(-row, kind="stable")[:count]]
            for row in scores
        ]
