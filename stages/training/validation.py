"""Validation of a phase's network."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slimline.stages.training.feeds import FeaturesFeed, Feed, in_order
from slimline.stages.training.scores import validation_scores
from slimline.stages.training.trainer import PhaseTrainer

EVALUATION_BATCH = 32


class PhaseValidation:
    """The validation photos' inputs and labels, with the trainer that scores them."""

    def __init__(self, feed: Feed, trainer: PhaseTrainer) -> None:
        self._feed, self._trainer = feed, trainer
        self.labels: NDArray[np.int64] = feed.labels

    def logits(self, batch_mode: bool = False) -> NDArray[np.float32]:
        """Return the logits [count, classes] of the current weights, in the photos' order.

        With `batch_mode` batch norms use each batch's own statistics, and an incomplete last batch is dropped: it would
        be padded with copies of one photo, which would distort the statistics.
        """
        rows = in_order(len(self.labels), self._batch_size())
        if batch_mode and len(rows[-1]) < len(rows[0]):
            rows.pop()
        return self._trainer.logits(self._feed.batches(rows, 0), len(rows[0]), batch_mode=batch_mode)

    def scores(self, logits: NDArray[np.float32]) -> dict[str, float]:
        """Return the mean cross-entropy, in nats, and the accuracy of logits [some, classes] of the first photos."""
        found = validation_scores(logits, self.labels[: len(logits)])
        return {name: float(value) for name, value in found.items()}

    def accuracies(self) -> tuple[float, float]:
        """Return the accuracy with the batch norms' moving averages, and with each batch's statistics.

        Both are measured on the same photos.
        """
        by_batch = self.logits(batch_mode=True)
        kept, batch = (
            self.scores(logits)["validation_accuracy"] for logits in (self.logits()[: len(by_batch)], by_batch)
        )
        return kept, batch

    def _batch_size(self) -> int:
        """Return the batch size: all photos for features, which are small."""
        return len(self.labels) if isinstance(self._feed, FeaturesFeed) else EVALUATION_BATCH
