"""Configuration of the learning rate and its schedule."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from slimline.pipeline.config import require_range
from slimline.pipeline.errors import UserError


class Schedule(Enum):
    """Learning-rate schedule after the warm-up; `schedule_factor` in schedules.py has the formulas."""

    constant = "constant"
    step = "step"
    exponential = "exponential"
    polynomial = "polynomial"
    cosine = "cosine"
    plateau = "plateau"


@dataclass
class ScheduleConfig:
    """The learning rate and its schedule. Lengths are in epochs of the current phase; fractions are allowed.

    `decay_factor` is for step and exponential, `step_epochs` for step, `decay_epochs` and `staircase` for
    exponential, `end_learning_rate` for polynomial, cosine and plateau (there the minimum), `power` for polynomial,
    `plateau_factor` and `plateau_patience_epochs` for plateau.
    """

    learning_rate: float = 0.1
    schedule: Schedule = Schedule.cosine
    warmup_epochs: float = 0.0
    decay_factor: float = 0.94
    decay_epochs: float = 2.0
    staircase: bool = True
    step_epochs: list[float] = field(default_factory=list)
    end_learning_rate: float = 0.0
    power: float = 1.0
    plateau_factor: float = 0.1
    plateau_patience_epochs: int = 3

    def __post_init__(self) -> None:
        require_range("train.optimizer.learning_rate", self.learning_rate, 1e-12, 1e6)
        require_range("train.optimizer.warmup_epochs", self.warmup_epochs, 0, 1e6)
        require_range("train.optimizer.decay_factor", self.decay_factor, 1e-12, 1)
        require_range("train.optimizer.decay_epochs", self.decay_epochs, 1e-6, 1e9)
        require_range("train.optimizer.end_learning_rate", self.end_learning_rate, 0, self.learning_rate)
        require_range("train.optimizer.power", self.power, 1e-6, 1e6)
        require_range("train.optimizer.plateau_factor", self.plateau_factor, 1e-12, 1)
        require_range("train.optimizer.plateau_patience_epochs", self.plateau_patience_epochs, 1, 100_000)
        for epoch in self.step_epochs:
            require_range("train.optimizer.step_epochs", epoch, 1e-6, 1e9)
        if self.step_epochs != sorted(set(self.step_epochs)):
            raise UserError(
                f"train.optimizer.step_epochs={self.step_epochs} is not in strictly ascending order.",
                "List the epochs at which the rate decreases in ascending order, each once.",
            )
        if self.schedule is Schedule.step and not self.step_epochs:
            raise UserError(
                "train.optimizer.schedule=step needs train.optimizer.step_epochs, which is empty.",
                "Set the epochs at which the rate decreases, as in 'train.optimizer.step_epochs=[30,60]'.",
            )
