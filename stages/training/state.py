"""What a training that is under way keeps on the disk, so that it can go on where it was."""

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
    """Where a training is, beside its variables' values.

    `phase` and `epoch` count from 0, `epochs_done` over all phases; `step` of the epoch comes next, and `steps_before`
    were in the phases before. `loss_sum`, `hits_sum` and `norm_sum` are over the epoch's steps so far. `best` holds the
    phase's best epoch's measures, `rows` the history; `state` and `best_state` number the checkpoints. `gap` is by how
    much accuracy was higher with batches' statistics than with the kept ones, where a phase moved these.
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
        """Whether the phase has trained anything yet."""
        return bool(self.epoch or self.step)

    def count(self, steps: int, loss: float, hits: float, norm: float) -> None:
        """Count steps of the epoch, and the sums over them."""
        self.step += steps
        self.loss_sum += loss
        self.hits_sum += hits
        self.norm_sum += norm

    def end_epoch(self) -> None:
        """Go to the beginning of the next epoch."""
        self.epochs_done += 1
        self.epoch, self.step = self.epoch + 1, 0
        self.loss_sum = self.hits_sum = self.norm_sum = 0.0

    def end_phase(self, steps: int) -> None:
        """Go to the beginning of the next phase; `steps` are those of an epoch of this one."""
        self.steps_before += self.epoch * steps
        self.phase, self.epoch, self.step = self.phase + 1, 0, 0


class TrainState:
    """What a training has come to: its position, and the folder of its last checkpoint and its best epoch's weights.

    `examples` and `seconds` add up what was trained on in this process, and for how long.
    """

    def __init__(self, folder: Path) -> None:
        """Take up what a killed training left in the folder, or begin."""
        self._folder = folder
        folder.mkdir(exist_ok=True)
        self.resumed = (folder / POSITION).is_file()
        values = json.loads((folder / POSITION).read_text(encoding="utf-8")) if self.resumed else {}
        self.position = Position(**values)
        self.examples, self.seconds = 0, 0.0
        self._saved = time.monotonic()

    def values(self) -> dict[str, Any]:
        """Read the last checkpoint: every variable's and every optimizer slot's value, by name."""
        return read_checkpoint(self._folder / f"state-{self.position.state}")

    def best_values(self) -> dict[str, Any]:
        """Read the best epoch's weights, by name."""
        return read_checkpoint(self._folder / f"best-{self.position.best_state}")

    def save(self, values: Mapping[str, Any]) -> None:
        """Write a checkpoint of the present position; at every moment the last one is whole.

        Raises:
            UserError: the disk is full.
        """
        self.position.state = self._write("state", self.position.state, values)
        self._commit()
        self._saved = time.monotonic()

    def save_when_due(self, seconds: float, values: Callable[[], Mapping[str, Any]]) -> None:
        """Write a checkpoint of `values()` if the last one was written so many seconds ago.

        Raises:
            UserError: the disk is full.
        """
        if time.monotonic() - self._saved >= seconds:
            self.save(values())

    def save_best(self, values: Mapping[str, Any]) -> None:
        """Write the best epoch's weights; they count with the next `save`.

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
    """Turn a full disk into an error that a user can mend.

    Raises:
        UserError: the disk is full, or a file may not grow so large.
    """
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        full = isinstance(error, OSError) and error.errno in FULL
        if not full and not any(os.strerror(number) in str(error) for number in FULL):
            raise
        raise UserError(
            f"{path.parent} can't take another checkpoint: {os.strerror(errno.ENOSPC).lower()}.",
            "The last one is whole. Make room, and the same command goes on from it.",
        ) from error
