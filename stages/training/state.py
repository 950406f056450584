"""State of an unfinished training on disk, from which the training resumes."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from slimline.pipeline.artifact import fsync, write_json
from slimline.pipeline.errors import UserError
from slimline.stages.backend.tensorflow import tf
from slimline.stages.networks.weights.checkpoint import read_checkpoint, write_checkpoint
from slimline.stages.training.history import Row

POSITION = "position.json"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass
class Position:
    """Position of a training, without the values of its variables.

    `phase` and `epoch` count from 0; `epochs_done` counts over all phases. `step` is the next step of the epoch, and
    `steps_before` the number of steps in the previous phases. `loss_sum`, `hits_sum` and `norm_sum` are sums over the
    epoch's steps so far. `best` holds the measures of the phase's best epoch, `rows` the history. `state` and
    `best_state` are the numbers of the checkpoints. `gap` is the accuracy with each batch's statistics minus the
    accuracy with the moving averages, where a phase updated these.
    """

    phase: int = 0
    epoch: int = 0
    step: int = 0
    epochs_done: int = 0
    steps_before: int = 0
    loss_sum: float = 0.0
    hits_sum: float = 0.0
    norm_sum: float = 0.0
    best: dict[str, Any] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    state: int = 0
    best_state: int = 0
    gap: float | None = None

    @property
    def in_phase(self) -> bool:
        """Whether at least one step of the phase is done."""
        return bool(self.epoch or self.step)

    def count(self, steps: int, loss: float, hits: float, norm: float) -> None:
        """Add steps of the epoch, and their sums."""
        self.step += steps
        self.loss_sum += loss
        self.hits_sum += hits
        self.norm_sum += norm

    def end_epoch(self) -> None:
        """Move to the start of the next epoch."""
        self.epochs_done += 1
        self.epoch, self.step = self.epoch + 1, 0
        self.loss_sum = self.hits_sum = self.norm_sum = 0.0

    def end_phase(self, steps: int) -> None:
        """Move to the start of the next phase; `steps` is this phase's number of steps per epoch."""
        self.steps_before += self.epoch * steps
        self.phase, self.epoch, self.step = self.phase + 1, 0, 0


class TrainState:
    """State of a training: its position, and the folder with its last checkpoint and the weights of its best epoch.

    `examples` and `seconds` are the number of examples and the time of training in this process.
    """

    def __init__(self, folder: Path) -> None:
        """Load the state that an unfinished training left in the folder, or start with an empty one."""
        self._folder = folder
        folder.mkdir(exist_ok=True)
        self.resumed = (folder / POSITION).is_file()
        values = json.loads((folder / POSITION).read_text(encoding="utf-8")) if self.resumed else {}
        self.position = Position(**values)
        self.examples, self.seconds = 0, 0.0
        self._saved = time.monotonic()

    def values(self) -> dict[str, Any]:
        """Read the last checkpoint: the values of all variables and optimizer slots, by name."""
        return read_checkpoint(self._folder / f"state-{self.position.state}")

    def best_values(self) -> dict[str, Any]:
        """Read the best epoch's weights, by name."""
        return read_checkpoint(self._folder / f"best-{self.position.best_state}")

    def save(self, values: Mapping[str, Any]) -> None:
        """Write a checkpoint of the current position. The last complete checkpoint is intact at every moment.

        Raises:
            UserError: the disk is full.
        """
        self.position.state = self._write("state", self.position.state, values)
        self._commit()
        self._saved = time.monotonic()

    def save_when_due(self, seconds: float, values: Callable[[], Mapping[str, Any]]) -> None:
        """Write a checkpoint of `values()` if the last one is at least `seconds` old.

        Raises:
            UserError: the disk is full.
        """
        if time.monotonic() - self._saved >= seconds:
            self.save(values())

    def save_best(self, values: Mapping[str, Any]) -> None:
        """Write the best epoch's weights; they take effect with the next `save`.

        Raises:
            UserError: the disk is full.
        """
        self.position.best_state = self._write("best", self.position.best_state, values)

    def _write(self, kind: str, last: int, values: Mapping[str, Any]) -> int:
        prefix = self._folder / f"{kind}-{last + 1}"
        with clear_when_full(prefix):
            write_checkpoint(prefix, values)
            for path in sorted(self._folder.glob(f"{prefix.name}.*")):
                fsync(path)
        return last + 1

    def _commit(self) -> None:
        with clear_when_full(self._folder / POSITION):
            write_json(self._folder / POSITION, asdict(self.position))
        kept = {f"state-{self.position.state}", f"best-{self.position.best_state}"}
        for path in self._folder.iterdir():
            if path.name != POSITION and path.name.partition(".")[0] not in kept:
                path.unlink()


@contextmanager
def clear_when_full(path: Path) -> Iterator[None]:
    """Turn a full disk into a `UserError` that says how to fix it.

    Raises:
        UserError: the disk is full, a quota is exceeded, or a file is larger than allowed.
    """
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        full = isinstance(error, OSError) and error.errno in FULL
        if not full and not any(os.strerror(number) in str(error) for number in FULL):
            raise
        raise UserError(
            f"Cannot write a checkpoint to {path.parent}: {os.strerror(errno.ENOSPC).lower()}.",
            "Free disk space, then run the same command again: it resumes from the last checkpoint, which is intact.",
        ) from error
