"""Progress of training: a bar if standard error is a terminal, otherwise occasional lines in the log."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slimline.pipeline.progress import Advance, progress
from slimline.stages.backend.captions import COMPUTING_BELOW_CUT, VIEWS

if TYPE_CHECKING:  # rich takes 0.1 s to import, and only a terminal needs it
    from rich.progress import Progress

log = logging.getLogger(__name__)

LINE_SECONDS = 10.0
"""Minimum time between two lines in the log, and before the first line, without a terminal."""


@dataclass
class _Phase:
    """A phase's number of steps, and the time that its steps took so far."""

    total_steps: int
    steps: int = 0
    timed_steps: int = 0
    timed_images: int = 0
    step_seconds: float = 0.0
    other_seconds: float = 0.0
    settled: bool = False

    def count(self, steps: int, images: int, seconds: float) -> None:
        """Add completed steps. The first report includes the time of tracing, so the second report replaces it."""
        if self.steps and not self.settled:
            self.settled = True
            self.timed_steps, self.timed_images, self.step_seconds, self.other_seconds = 0, 0, 0.0, 0.0
        self.steps += steps
        self.timed_steps += steps
        self.timed_images += images
        self.step_seconds += seconds

    @property
    def pace_seconds(self) -> float:
        """The mean time per step, including the time between epochs."""
        return (self.step_seconds + self.other_seconds) / max(1, self.timed_steps)


class Pace:
    """Timer of the training phases, which estimates the remaining time."""

    def __init__(self, phases: Sequence[tuple[str, int]], clock: Callable[[], float] = time.perf_counter) -> None:
        """Start the timer. `phases` holds each phase's name and its number of steps over all its epochs."""
        self._phases = {name: _Phase(steps) for name, steps in phases}
        self._clock = clock
        self._started = self._last = clock()
        self.current = phases[0][0]

    def count(self, phase: str, steps: int, images: int) -> None:
        """Add the steps and images that were completed since the last count or pause."""
        self._phases[phase].count(steps, images, self._lap())
        self.current = phase

    def pause(self) -> None:
        """Add the time since the last count or pause to the time outside of steps, such as evaluation."""
        self._phases[self.current].other_seconds += self._lap()

    def _lap(self) -> float:
        before, self._last = self._last, self._clock()
        return self._last - before

    @property
    def elapsed_seconds(self) -> float:
        """The time since the timer was started."""
        return self._clock() - self._started

    @property
    def images_per_second(self) -> float:
        """The current phase's images per second, evaluation not included."""
        phase = self._phases[self.current]
        return phase.timed_images / phase.step_seconds if phase.step_seconds else 0.0

    @property
    def left_seconds(self) -> float:
        """The estimated remaining time of all phases, at the current phase's pace.

        A phase before the current one counts as complete, even if it ended early.
        """
        names = list(self._phases)
        current, *later = (self._phases[name] for name in names[names.index(self.current) :])
        steps = max(0, current.total_steps - current.steps) + sum(phase.total_steps for phase in later)
        return steps * current.pace_seconds

    @property
    def is_last(self) -> bool:
        """Whether the current phase is the last one, so that the remaining time is estimated from its own steps."""
        return self.current == list(self._phases)[-1]


class TrainingProgress:
    """Display of the training progress: its methods report the steps and epochs."""

    def __init__(self, pace: Pace, bar: Progress | None) -> None:
        """Show the progress on a bar, or in lines of the log if `bar` is None."""
        self._pace, self._bar = pace, bar
        self._task = bar.add_task("training", total=None) if bar else None
        self._place = (pace.current, "")
        self._loss = 0.0
        self._validation_accuracy: float | None = None
        self._line_seconds = 0.0

    def update(self, phase: str, epoch: int, epochs: int, steps: int, images: int, loss: float) -> None:
        """Add steps and images with a mean `loss`, in `epoch` (counted from 1) of a phase's `epochs`."""
        self._pace.count(phase, steps, images)
        self._place, self._loss = (phase, f"epoch {epoch}/{epochs}"), loss
        self._refresh()

    def epoch(self, measures: Mapping[str, float]) -> None:
        """Report an epoch's measures after its evaluation; `loss` and `validation_accuracy` are shown."""
        self._pace.pause()
        self._loss = measures.get("loss", self._loss)
        self._validation_accuracy = measures.get("validation_accuracy", self._validation_accuracy)
        self._refresh()
        if self._bar is None and self._pace.elapsed_seconds - self._line_seconds >= LINE_SECONDS:
            self._line_seconds = self._pace.elapsed_seconds
            phase, epoch = self._place
            log.info("training  %-8s  %s  %s", phase, epoch, self._text("validation accuracy"))

    def _refresh(self) -> None:
        if self._bar is not None and self._task is not None:
            elapsed = self._pace.elapsed_seconds
            text = " ".join(self._place) + "  " + self._text("validation")  # short: bar and text fit in 80 columns
            self._bar.update(self._task, description=text, completed=elapsed, total=elapsed + self._pace.left_seconds)

    def _text(self, accuracy: str) -> str:
        """Return the text with loss, accuracy, speed and remaining time; `accuracy` is the accuracy's caption."""
        shown = [f"loss {self._loss:z.3f}"]
        if self._validation_accuracy is not None:
            shown.append(f"{accuracy} {self._validation_accuracy:.1%}")
        # Deeper phases have slower steps. Until they start, the estimate is only a lower bound.
        left = ("" if self._pace.is_last else ">") + duration(self._pace.left_seconds)
        return "  ".join((*shown, f"{self._pace.images_per_second:,.0f} images/s", f"{left} left"))


@contextmanager
def training_progress(
    phases: Sequence[tuple[str, int]], clock: Callable[[], float] = time.perf_counter
) -> Iterator[TrainingProgress]:
    """Show the progress of training over `phases`, each with its name and its number of remaining steps.

    On a terminal this is a bar. Otherwise it is a line in the log at the end of an epoch, at most one every ten
    seconds. `clock` returns seconds.
    """
    pace = Pace(phases, clock)
    if not sys.stderr.isatty():
        yield TrainingProgress(pace, None)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(bar_width=None))
    with Progress(*columns, console=Console(stderr=True), transient=True, expand=True) as bar:
        yield TrainingProgress(pace, bar)


def views_progress(total: int) -> AbstractContextManager[Advance]:
    """Show how many views of photos the layers below the cut have processed; see `progress`."""
    return progress(COMPUTING_BELOW_CUT, total, VIEWS)


def duration(seconds: float) -> str:
    """Format seconds as `0:14`, `12:03` or `1:02:03`."""
    minutes, second = divmod(round(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute}:{second:02}"
