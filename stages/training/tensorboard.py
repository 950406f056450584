"""What TensorBoard shows of a phase: its steps, examples, weights, activations, graph and profile."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from slimline.stages.backend.tensorflow import tf
from slimline.stages.training.history import History
from slimline.stages.training.trainer import PhaseTrainer, Sums

STEPS_A_SCALAR = 10
LOOKED_AT = 8
"""Photos whose activations are shown: 49 million numbers for EfficientNet-Lite0, and a batch has four times as many."""
WARM_STEPS = 2
"""Steps that a profile leaves out: tracing and the preparation of layers."""


class PhaseView:
    """Watches a phase's steps and writes what is to be seen of them."""

    def __init__(self, history: History, logs: Path, trainer: PhaseTrainer, profile_steps: int) -> None:
        """Write into `history`; `logs` takes the profile of `profile_steps` steps."""
        self._history, self._logs, self._trainer = history, logs, trainer
        self._profile_steps, self._seen, self._profiling = profile_steps, 0, False
        self._last = time.perf_counter()
        self._inputs: Any = None

    def inputs(self, inputs: Any) -> None:
        """Keep the phase's first batch, to look at its activations."""
        self._inputs = inputs if self._inputs is None else self._inputs

    def steps(self, number: int, count: int, images: int, sums: Sums, rate: float) -> None:
        """Note `count` steps just done, the last of them the `number`th over all phases."""
        now = time.perf_counter()
        seconds, self._last = now - self._last, now
        self._profile(count)
        if number % STEPS_A_SCALAR == 0 or count > 1:
            self._history.step(
                number,
                loss=sums.loss / count,
                gradient_norm=sums.norm / count,
                learning_rate=rate,
                images_per_second=images / seconds,
                step_seconds=seconds / count,
            )

    def resume(self) -> None:
        """Start the clock of the next step here: what came before was no step."""
        self._last = time.perf_counter()

    def end(self, epoch: int) -> None:
        """Show the weights that were trained, and what they make of a few photos."""
        weights = self._trainer.weights()
        self._history.histograms(epoch, "weights", {name: weights[name] for name in self._trainer.trained})
        if self._inputs is not None:
            self._history.histograms(epoch, "activations", self._trainer.activations(self._inputs[:LOOKED_AT]))
            self._history.graph(self._trainer.graph(self._inputs))

    def end_profile(self) -> None:
        """Write the profile that is under way, if there is one; no other can begin before."""
        if self._profiling:
            tf.profiler.experimental.stop()
            self._profiling, self._profile_steps = False, 0

    def _profile(self, count: int) -> None:
        self._seen += count
        if self._profiling and self._seen >= WARM_STEPS + self._profile_steps:
            self.end_profile()
        elif self._profile_steps and not self._profiling and self._seen >= WARM_STEPS:
            tf.profiler.experimental.start(str(self._logs))
            self._profiling = True
