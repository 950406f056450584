"""How far training has come: a bar on the terminal's error stream, now and then a line in the log elsewhere."""

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

if TYPE_CHECKING:  # rich takes 0.1 s to import, and only a terminal wants it
    from rich.progress import Progress

log = logging.getLogger(__name__)

LINE_SECONDS = 10.0
"""Without a terminal, this much lies between two lines, and before the first one."""


@dataclass
class _Phase:
    """What a phase has yet to do, and what its steps took."""

    total_steps: int
    steps: int = 0
    timed_steps: int = 0
    timed_images: int = 0
    step_seconds: float = 0.0
    other_seconds: float = 0.0
    settled: bool = False

    def count(self, steps: int, images: int, seconds: float) -> None:
        """Count steps done. The first report's time includes the tracing: it stands only until there is a second."""
        if self.steps and not self.settled:
            self.settled = True
            self.timed_steps, self.timed_images, self.step_seconds, self.other_seconds = 0, 0, 0.0, 0.0
        self.steps += steps
        self.timed_steps += steps
        self.timed_images += images
        self.step_seconds += seconds

    @property
    def pace_seconds(self) -> float:
        """A step's share of all the time that the phase has taken, with what comes between epochs."""
        return (self.step_seconds + self.other_seconds) / max(1, self.timed_steps)


class Pace:
    """Keeps the time of training's phases, and works out how much is left."""

    def __init__(self, phases: Sequence[tuple[str, int]], clock: Callable[[], float] = time.perf_counter) -> None:
        """Take each phase's name and its number of steps over all its epochs; time starts to run now."""
        self._phases = {name: _Phase(steps) for name, steps in phases}
        self._clock = clock
        self._started = self._last = clock()
        self.current = phases[0][0]

    def count(self, phase: str, steps: int, images: int) -> None:
        """Count steps and images that were done since the last count or pause."""
        self._phases[phase].count(steps, images, self._lap())
        self.current = phase

    def pause(self) -> None:
        """Count the time since then as none of the steps': evaluation, or writing what was trained."""
        self._phases[self.current].other_seconds += self._lap()

    def _lap(self) -> float:
        before, self._last = self._last, self._clock()
        return self._last - before

    @property
    def elapsed_seconds(self) -> float:
        """The time since the beginning."""
        return self._clock() - self._started

    @property
    def images_per_second(self) -> float:
        """The current phase's rate, while it trains."""
        phase = self._phases[self.current]
        return phase.timed_images / phase.step_seconds if phase.step_seconds else 0.0

    @property
    def left_seconds(self) -> float:
        """What all phases still take, each at its own pace; one that is yet to begin, at the current one's.

        A phase before the current one is done, however few steps it took.
        """
        names = list(self._phases)
        current, *later = (self._phases[name] for name in names[names.index(self.current) :])
        steps = max(0, current.total_steps - current.steps) + sum(phase.total_steps for phase in later)
        return steps * current.pace_seconds

    @property
    def is_last(self) -> bool:
        """Whether no phase is yet to begin, so that the time left is measured throughout."""
        return self.current == list(self._phases)[-1]


class TrainingProgress:
    """Shows how far training has come, as it is told."""

    def __init__(self, pace: Pace, bar: Progress | None) -> None:
        """Show it on a bar, or, without one, in lines of the log."""
        self._pace, self._bar = pace, bar
        self._task = bar.add_task("training", total=None) if bar else None
        self._place = (pace.current, "")
        self._loss = 0.0
        self._validation_accuracy: float | None = None
        self._line_seconds = 0.0

    def update(self, phase: str, epoch: int, epochs: int, steps: int, images: int, loss: float) -> None:
        """Count this many more steps and images, at a mean `loss`, in a phase's `epoch`, from 1, of `epochs`."""
        self._pace.count(phase, steps, images)
        self._place, self._loss = (phase, f"epoch {epoch}/{epochs}"), loss
        self._refresh()

    def epoch(self, measures: Mapping[str, float]) -> None:
        """Take an epoch's measures at its end, after its evaluation; `loss` and `validation_accuracy` are shown."""
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
            text = " ".join(self._place) + "  " + self._text("validation")  # with a bar, within 80 columns
            self._bar.update(self._task, description=text, completed=elapsed, total=elapsed + self._pace.left_seconds)

    def _text(self, accuracy: str) -> str:
        """Say how well and how fast; `accuracy` is what the validation accuracy is called."""
        shown = [f"loss {self._loss:.3f}"]
        if self._validation_accuracy is not None:
            shown.append(f"{accuracy} {self._validation_accuracy:.1%}")
        # Deeper phases have slower steps: before they begin, the time left is no more than a lower bound.
        left = ("" if self._pace.is_last else ">") + duration(self._pace.left_seconds)
        return "  ".join((*shown, f"{self._pace.images_per_second:,.0f} images/s", f"{left} left"))


@contextmanager
def training_progress(
    phases: Sequence[tuple[str, int]], clock: Callable[[], float] = time.perf_counter
) -> Iterator[TrainingProgress]:
    """Show training's progress over `phases`, each a name and the number of steps that it has yet to do.

    On a terminal it is a bar; otherwise a line in the log at an epoch's end, at most one in ten seconds. `clock`
    returns seconds.
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
    """Show how many views of photos have gone through what lies below the cut; see `progress`."""
    return progress(COMPUTING_BELOW_CUT, total, VIEWS)


def duration(seconds: float) -> str:
    """Write seconds as `0:14`, `12:03` or `1:02:03`."""
    minutes, second = divmod(round(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute}:{second:02}"
