"""Steps and epochs of one phase, as TensorFlow functions over named variables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slimline.stages.backend.tensorflow import tf
from slimline.stages.images.batches import run_padded
from slimline.stages.training.network import PhaseNetwork
from slimline.stages.training.optimizers import Optimizer
from slimline.stages.training.seeds import step_seed


class Sums(NamedTuple):
    """Sums over some steps of an epoch: of the losses, of the fractions of correct predictions, of the gradient norms.

    `bad_step` is the first step whose loss or gradient was NaN or infinite, or None.
    """

    loss: float = 0.0
    hits: float = 0.0
    norm: float = 0.0
    bad_step: int | None = None


class Settings(NamedTuple):
    """Settings of a step, apart from its network and optimizer; `class_weights` [classes] multiplies the losses."""

    classes: int
    seed: int
    label_smoothing: float
    mixup: float
    class_weights: NDArray[np.float32] | None
    batch_norm_decay: float
    xla: bool


class PhaseTrainer:
    """Trainer of a phase's network, with variables initialized from `values`; `scale` multiplies the bottleneck."""

    def __init__(
        self,
        network: PhaseNetwork,
        values: Mapping[str, Any],
        optimizer: Any,
        settings: Settings,
        scale: float,
    ) -> None:
        """Create the variables; `optimizer(variables)` creates the optimizer of the trainable ones."""
        self.network, self.settings, self.scale = network, settings, scale
        self.variables = {
            name: tf.Variable(values[name], trainable=name in network.trainable) for name in network.names
        }
        self.trained = {name: self.variables[name] for name in network.trainable}
        self.optimizer: Optimizer = optimizer(self.trained)
        self.step = tf.function(self._step, autograph=False, jit_compile=settings.xla or None)
        self._whole = tf.function(self._many_steps, autograph=False)
        self._logits = tf.function(self._plain_logits, autograph=False)
        self._batch_mode = tf.function(self._batch_logits, autograph=False)

    def state(self) -> dict[str, Any]:
        """Return all variables that a checkpoint must contain, by name."""
        return {**self.variables, **{f"optimizer/{name}": value for name, value in self.optimizer.state.items()}}

    def restore(self, values: Mapping[str, Any]) -> None:
        """Restore the variables of `state` from a checkpoint's values."""
        for name, variable in self.state().items():
            variable.assign(values[name])

    def set_weights(self, values: Mapping[str, Any]) -> None:
        """Set the variables, and the moving averages of those that have one."""
        averages = self.optimizer.averages()
        for name, variable in self.variables.items():
            variable.assign(values[name])
            if name in averages:
                averages[name].assign(values[name])

    def weights(self) -> dict[str, NDArray[Any]]:
        """Return the weights as arrays, by name: the moving averages where the optimizer keeps them."""
        kept = {**self.variables, **self.optimizer.averages()}
        return {name: kept[name].numpy() for name in self.variables}

    def run_steps(self, inputs: Any, targets: Any, order: NDArray[np.int64], first_step: int) -> Sums:
        """Train on all batches of inputs [count, ...] in memory, in one call; `order` is [steps, batch]."""
        return _sums(*self._whole(inputs, targets, tf.constant(order), tf.constant(first_step)))

    def run_step(self, inputs: Any, targets: Any, step: int) -> Sums:
        """Train on one batch."""
        loss, hits, norm = self.step(inputs, targets, tf.constant(step))
        return _sums(loss, hits, norm, _first_bad(loss, hits, norm, step))

    def logits(self, batches: Iterator[Any], batch_size: int, *, batch_mode: bool = False) -> NDArray[np.float32]:
        """Return the logits [count, classes] of batches of inputs.

        With `batch_mode` batch norms use each batch's statistics.
        """
        run = self._batch_mode if batch_mode else self._logits
        return np.concatenate([run_padded(run, inputs, batch_size).numpy() for inputs in batches])

    def recalibrate(self, batches: Iterator[Any]) -> None:
        """Set the batch norms' moving averages to the mean of the statistics of all `batches`."""
        totals: Sequence[NDArray[Any]] = []
        count = 0
        measure = tf.function(self._measured, autograph=False)
        for inputs in batches:
            found = [tensor.numpy().astype(np.float64) for tensor in measure(inputs)]
            totals = [total + one for total, one in zip(totals, found, strict=True)] if count else found
            count += 1
        kept = [name for one in self.network.statistics for name in one[:2]]
        for name, total in zip(kept, totals, strict=True):
            self.variables[name].assign(total / count)

    def _measured(self, inputs: Any) -> list[Any]:
        return self.network.logits(inputs, self.reads(), self.scale, training=True)[1]

    def reads(self, averaged: bool = False) -> dict[str, Any]:
        """Return tensors of the variables' values, by name; with `averaged`, of their moving averages if they exist."""
        kept = {**self.variables, **(self.optimizer.averages() if averaged else {})}
        return {name: kept[name].read_value() for name in self.variables}

    def _plain_logits(self, inputs: Any) -> Any:
        return self.network.logits(inputs, self.reads(averaged=True), self.scale)[0]

    def _batch_logits(self, inputs: Any) -> Any:
        reads = self.reads(averaged=True)
        return self.network.logits(inputs, reads, self.scale, training=True)[0]

    def _many_steps(self, inputs: Any, targets: Any, order: Any, first_step: Any) -> tuple[Any, ...]:
        def one_step(index: Any, bad: Any, *sums: Any) -> tuple[Any, ...]:
            chosen = order[index]
            batch = tf.gather(inputs, chosen), tf.gather(targets, chosen)
            found = self._step(*batch, first_step + index)
            bad = tf.where(bad < 0, _first_bad(*found, first_step + index), bad)
            return index + 1, bad, *(total + one for total, one in zip(sums, found, strict=True))

        begin = tf.constant(0), tf.constant(-1), tf.constant(0.0), tf.constant(0.0), tf.constant(0.0)
        _, bad, *sums = tf.while_loop(lambda index, *_: index < tf.shape(order)[0], one_step, begin)
        return *sums, bad

    def _step(self, inputs: Any, targets: Any, step: Any) -> tuple[Any, Any, Any]:
        settings = self.settings
        wanted = tf.one_hot(targets, settings.classes)
        if settings.mixup:
            part = _beta(settings.mixup, step_seed(settings.seed + 1, step))
            inputs, wanted = (part * one + (1 - part) * tf.reverse(one, [0]) for one in (inputs, wanted))
        smooth = settings.label_smoothing
        smoothed = wanted * (1 - smooth) + smooth / settings.classes
        reads = self.reads()
        seed = step_seed(settings.seed, step)
        logits, measured = self.network.logits(inputs, reads, self.scale, training=True, dropout_seed=seed)
        losses = tf.nn.softmax_cross_entropy_with_logits(smoothed, logits)
        if settings.class_weights is not None:
            losses *= tf.linalg.matvec(wanted, settings.class_weights)
        loss = tf.reduce_mean(losses)
        gradients = tf.gradients(loss, [reads[name] for name in self.trained])
        norm = self.optimizer.apply(dict(zip(self.trained, gradients, strict=True)), tf.cast(step, tf.float32))
        kept = [self.variables[name] for one in self.network.statistics for name in one[:2]]
        for variable, found in zip(kept, measured, strict=True):
            variable.assign_sub((1 - settings.batch_norm_decay) * (variable - found))
        hits = tf.reduce_mean(tf.cast(tf.argmax(logits, 1) == tf.argmax(wanted, 1), tf.float32))
        return loss, hits, norm


def _first_bad(loss: Any, hits: Any, norm: Any, step: Any) -> Any:
    """Return the step if its loss or its gradient is NaN or infinite, else -1."""
    return tf.where(tf.math.is_finite(loss) & tf.math.is_finite(norm), -1, step)


def _sums(loss: Any, hits: Any, norm: Any, bad: Any) -> Sums:
    return Sums(float(loss), float(hits), float(norm), int(bad) if int(bad) >= 0 else None)


def _beta(alpha: float, seed: Any) -> Any:
    """Draw a scalar from Beta(alpha, alpha): the first of two gamma draws divided by their sum."""
    draws = tf.random.stateless_gamma([2], seed, alpha)
    return draws[0] / tf.maximum(tf.reduce_sum(draws), 1e-30)
