"""What a phase's network makes of the validation photos."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slimline.stages.scoring.probabilities import probabilities
from slimline.stages.training.feeds import FeaturesFeed, Feed, in_order
from slimline.stages.training.trainer import PhaseTrainer

EVALUATION_BATCH = 32


class PhaseValidation:
    """The validation photos as a phase's trainer takes them."""

    def __init__(self, feed: Feed, trainer: PhaseTrainer) -> None:
        self._feed, self._trainer = feed, trainer
        self.labels: NDArray[np.int64] = feed.labels

    def logits(self, batch_mode: bool = False) -> NDArray[np.float32]:
        """Return the logits [count, classes] by the present weights, in the photos' order.

        With `batch_mode` batch norms take each batch's own statistics, and a last batch that isn't full is left out: it
        would be filled up with one photo over and over, whose statistics aren't those of photos.
        """
        rows = in_order(len(self.labels), self._batch_size())
        if batch_mode and len(rows[-1]) < len(rows[0]):
            rows.pop()
        return self._trainer.logits(self._feed.batches(rows, 0), len(rows[0]), batch_mode=batch_mode)

    def scores(self, logits: NDArray[np.float32]) -> dict[str, float]:
        """Return the mean cross-entropy, in nats, and the accuracy of the first photos' logits [some, classes]."""
        labels = self.labels[: len(logits)]
        chances = probabilities(logits)[np.arange(len(labels)), labels]
        return {
            "validation_loss": float(-np.mean(np.log(np.maximum(chances, 1e-300)))),
            "validation_accuracy": float(np.mean(logits.argmax(axis=1) == labels)),
        }

    def accuracies(self) -> tuple[float, float]:
        """Return the accuracy by the kept statistics of the batch norms, and by each batch's own, on the same."""
        by_batch = self.logits(batch_mode=True)
        kept, batch = (
            self.scores(logits)["validation_accuracy"] for logits in (self.logits()[: len(by_batch)], by_batch)
        )
        return kept, batch

    def _batch_size(self) -> int:
        """Features are small: all of them are one batch."""
        return len(self.labels) if isinstance(self._feed, FeaturesFeed) else EVALUATION_BATCH
