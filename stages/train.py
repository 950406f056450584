"""Train: the head on cached features, whole epochs inside one function."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import II

from pipeline.artifact import Artifact, Facts
from pipeline.config import require_range
from pipeline.errors import UserError
from pipeline.stage import stage
from stages.optimizers import AdamConfig, MomentumConfig, Optimizer, OptimizerConfig, RmspropConfig
from stages.progress import progress


@dataclass
class TrainConfig:
    """How to train the head; `patience_epochs` without a better validation loss end it early."""

    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    epochs: int = 30
    batch_size: int = 64
    label_smoothing: float = 0.0
    patience_epochs: int = 10
    seed: int = II("run.seed")

    def __post_init__(self) -> None:
        require_range("train.epochs", self.epochs, 1, 100_000)
        require_range("train.batch_size", self.batch_size, 1, 65536)
        require_range("train.label_smoothing", self.label_smoothing, 0, 0.99)
        require_range("train.patience_epochs", self.patience_epochs, 1, 100_000)


OPTIMIZERS = {
    "optimizer/momentum": MomentumConfig,
    "optimizer/adam": AdamConfig,
    "optimizer/rmsprop": RmspropConfig,
}


@stage(schemas=OPTIMIZERS)
def train(config: TrainConfig, out: Path, *, ingest: Artifact, head: Artifact, features: Artifact) -> Facts:
    """Write `best.ckpt` and `last.ckpt` (the assembled model's), `history.parquet`, and TensorBoard's files in `logs`.

    The best epoch is the one of the lowest validation loss.

    Raises:
        UserError: the loss is no longer a number.
    """
    from stages.data.features import read_features
    from stages.history import History
    from stages.model import read_card, write_card
    from stages.networks.checkpoint import read_checkpoint, write_checkpoint

    card = read_card(head.path)
    initial = read_checkpoint(head.path / "model.ckpt")
    training, validation = (read_features(features.path / f"{split}.arrow") for split in ("train", "validation"))
    started = time.perf_counter()
    history = History(out / "logs")
    trainer = HeadTrainer(config, card.head or {}, card.labels, initial, training)
    best: dict[str, Any] = {}
    with progress("training", config.epochs, "epochs") as advance:
        for epoch in range(config.epochs):
            loss, accuracy = trainer.run_epoch(epoch)
            _require_number(loss, epoch, config)
            scores = trainer.score(*validation)
            history.add(epoch, loss=loss, accuracy=accuracy, learning_rate=trainer.rate(epoch), **scores)
            advance()
            if not best or scores["validation_loss"] < best["validation_loss"]:
                best = {"epoch": epoch, **scores, "values": trainer.values()}
            elif epoch - best["epoch"] >= config.patience_epochs:
                break
    seconds = time.perf_counter() - started
    history.histograms(trainer.values())
    history.write(out / "history.parquet")
    write_checkpoint(out / "best.ckpt", {**initial, **best.pop("values")})
    write_checkpoint(out / "last.ckpt", {**initial, **trainer.values()})
    write_card(out, card)
    return {
        "validation_top1": best["validation_accuracy"],
        "validation_loss": best["validation_loss"],
        "epochs": len(history),
        "best_epoch": best["epoch"] + 1,
        "examples_per_second": len(training[1]) * len(history) / seconds,
    }


def _require_number(loss: float, epoch: int, config: TrainConfig) -> None:
    if not math.isfinite(loss):
        raise UserError(
            f"The training loss is {loss} in epoch {epoch + 1}.",
            f"train.optimizer.learning_rate={config.optimizer.learning_rate:g} is too large here: try a tenth of it.",
        )


class HeadTrainer:
    """Trains a head on features that lie in memory; an epoch is one call into TensorFlow."""

    def __init__(
        self,
        config: TrainConfig,
        head: dict[str, Any],
        labels: list[str],
        initial: dict[str, Any],
        training: tuple[Any, Any],
    ) -> None:
        """Build the head from its card; `training` holds features [count, width] float32 and labels [count] int64."""
        from stages.data.features import feature_scale
        from stages.networks.heads import make_head
        from stages.networks.module import SlimModule
        from stages.tensorflow import tf

        features, targets = training
        self._scale = feature_scale(features)
        self._config = config
        self._module = SlimModule(make_head(len(labels), **head), (features.shape[1],), initial, config.seed)
        self._features, self._targets = tf.constant(features * self._scale), tf.constant(targets)
        self._classes = len(labels)
        self._steps = max(1, len(targets) // config.batch_size)
        self._batch = min(config.batch_size, len(targets))
        self._optimizer = Optimizer(
            config.optimizer, self._module.variables_by_name, self._steps, self._steps * config.epochs
        )
        self._epoch = tf.function(self._run_epoch, autograph=False)
        self._score = tf.function(self._score_batch, autograph=False)

    def run_epoch(self, epoch: int) -> tuple[float, float]:
        """Run one epoch in an order drawn from (seed, epoch): the mean loss and accuracy over its steps."""
        from stages.tensorflow import tf

        loss, accuracy = self._epoch(tf.constant(epoch))
        return float(loss), float(accuracy)

    def rate(self, epoch: int) -> float:
        """Return the learning rate at an epoch's first step."""
        from stages.tensorflow import tf

        return float(self._optimizer.rate(tf.constant(float(epoch * self._steps))))

    def score(self, features: Any, targets: Any) -> dict[str, float]:
        """Return the mean cross-entropy and the accuracy on features [count, width] and labels [count]."""
        loss, accuracy = self._score(features * self._scale, targets)
        return {"validation_loss": float(loss), "validation_accuracy": float(accuracy)}

    def values(self) -> dict[str, Any]:
        """Return the head's variables as arrays, by name, for features as the base gives them."""
        values = {name: variable.numpy() for name, variable in self._module.variables_by_name.items()}
        first = next(name for name in values if name.endswith("weights"))
        return {**values, first: values[first] * self._scale}

    def _run_epoch(self, epoch: Any) -> Any:
        from stages.tensorflow import tf

        draws = tf.random.stateless_uniform([len(self._targets)], seed=tf.stack([self._config.seed, epoch]))
        order = tf.argsort(draws, stable=True)

        def one_step(step: Any, loss_sum: Any, right: Any) -> tuple[Any, Any, Any]:
            chosen = order[step * self._batch : (step + 1) * self._batch]
            batch = tf.gather(self._features, chosen), tf.gather(self._targets, chosen)
            loss, hits = self._train_step(*batch, epoch * self._steps + step)
            return step + 1, loss_sum + loss, right + hits

        begin = tf.constant(0), tf.constant(0.0), tf.constant(0.0)
        _, loss_sum, right = tf.while_loop(lambda step, *_: step < self._steps, one_step, begin)
        return loss_sum / float(self._steps), right / float(self._steps)

    def _train_step(self, features: Any, targets: Any, step: Any) -> tuple[Any, Any]:
        from stages.tensorflow import tf

        seed = tf.stack([self._config.seed, step])
        with tf.GradientTape() as tape:
            logits, _ = self._module(features, is_training=True, dropout_seed=seed)
            smooth = self._config.label_smoothing
            wanted = tf.one_hot(targets, self._classes) * (1 - smooth) + smooth / self._classes
            data_loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(wanted, logits))
            weights = [
                variable for name, variable in self._module.variables_by_name.items() if name.endswith("weights")
            ]
            penalty = tf.add_n([tf.nn.l2_loss(variable) for variable in weights])
            loss = data_loss + self._config.optimizer.weight_decay * penalty
        variables = self._module.variables_by_name
        gradients = dict(zip(variables, tape.gradient(loss, list(variables.values())), strict=True))
        self._optimizer.apply(gradients, tf.cast(step, tf.float32))
        return data_loss, tf.reduce_mean(tf.cast(tf.argmax(logits, 1) == targets, tf.float32))

    def _score_batch(self, features: Any, targets: Any) -> tuple[Any, Any]:
        from stages.tensorflow import tf

        logits = self._module(features)[0]
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits))
        return loss, tf.reduce_mean(tf.cast(tf.argmax(logits, 1) == targets, tf.float32))
