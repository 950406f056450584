"""A sweep: its points, what came of them, and the loop that computes those that are missing."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from slimline.pipeline.errors import UserError
from slimline.pipeline.plan import why
from slimline.pipeline.progress import Advance
from slimline.pipeline.run_lines import WIDTH
from slimline.pipeline.sweeping.folder import RUNNING, SweepFolder, this_process
from slimline.pipeline.sweeping.journal import Record
from slimline.pipeline.sweeping.objectives import Objective
from slimline.pipeline.sweeping.points import COMPLETED, FAILED, Outcome, Prepared, read_outcome
from slimline.pipeline.sweeping.ranking import Scored, rank_points
from slimline.pipeline.sweeping.space import Space, Values
from slimline.pipeline.sweeping.units import Unit, cut_units
from slimline.pipeline.sweeping.working import Work
from slimline.pipeline.text_table import cut
from slimline.pipeline.together import Together

log = logging.getLogger(__name__)

WAIT_SECONDS = 0.2
LEAST_ROOM = 24
LONGEST_REASON = 300

Prepare = Callable[[int, list[str]], Prepared]


class Tools(NamedTuple):
    """What a sweep computes its points with."""

    work: Work
    prepare: Prepare
    together: Together | None


class Sweep:
    """A sweep as its journal tells it, and the work that is left.

    `values` and `outcomes` are by the number of the point, `keys` holds the keys of its results in the store, and
    `runs` the runs that completed a point; `completing` marks those that were begun.
    """

    def __init__(self, folder: SweepFolder, space: Space, total: int) -> None:
        self.folder, self.space, self.total = folder, space, total
        self.values: dict[int, Values] = {}
        self.outcomes: dict[int, Outcome] = {}
        self.keys: dict[int, list[str]] = {}
        self.runs: dict[str, str] = {}
        self.completing: dict[str, str] = {}
        self.begun: dict[int, str] = {}
        self._told: set[int] = set()
        self._prepared: dict[int, Prepared | UserError] = {}
        self._best: Scored | None = None

    def sync(self) -> None:
        """Take over what any process has appended to the journal."""
        for record in self.folder.journal.read_new():
            try:
                self._take(record)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise self.folder.journal.damaged(record) from error

    def _take(self, record: Record) -> None:
        for number, values in enumerate(record.get("asked", ()), record.get("first", 0)):
            self.values.setdefault(number, values)
        for number in record.get("begun", ()):
            self.begun[number] = record["by"]
        for number, outcome in record.get("done", {}).items():
            self.outcomes[int(number)] = read_outcome(outcome)
            if self.keys.get(int(number), record["keys"]) != record["keys"]:
                self.runs.pop(number, None)  # the run that completed it shows an earlier result
                self.completing.pop(number, None)
            self.keys[int(number)] = record["keys"]
            self.begun.pop(int(number), None)
        for number in record.get("open", ()):
            self.outcomes.pop(number, None)
        self.runs.update(record.get("runs", {}))
        self.completing.update(record.get("completing", {}))

    def ask(self, propose: Callable[[], Sequence[Values]], first: int) -> bool:
        """Journal the values of the points from `first` on, unless another process has done so.

        Return whether they are known now: not while a point before them is missing, from which they follow.
        """
        with self.folder.lock:
            self.sync()
            if first in self.values:
                return True
            if any(number not in self.outcomes for number in range(first)):
                return False
            self.folder.journal.append([{"asked": list(propose()), "first": first}])
            self.sync()
            return True

    def reopen(self, numbers: Sequence[int]) -> None:
        """Let points be computed again."""
        if numbers:
            self.folder.note(status=RUNNING)
            self.folder.journal.append([{"open": list(numbers)}])
            self.sync()
            self._told.difference_update(numbers)

    def fail(self, numbers: Sequence[int], error: str) -> None:
        """Journal that points failed for a reason outside of them."""
        if numbers:
            self._journal({number: Outcome(FAILED, error=error, retry=True) for number in numbers}, [])

    def ranked(self, objectives: Sequence[Objective], tie: Objective | None) -> list[Scored]:
        """Return the points that are done, best first."""
        return rank_points({n: one for n, one in self.outcomes.items() if n < self.total}, objectives, tie)

    def refresh(self, tools: Tools) -> None:
        """Reopen the points that no longer hold, and those that may succeed now.

        One process does so, before any other work on the sweep begins.
        """
        prepared, _ = self._prepare(sorted(self.outcomes), tools)
        self._reopen_outdated(self._units(prepared, tools), tools.work)

    def compute(self, numbers: Sequence[int], tools: Tools, advance: Advance) -> None:
        """Compute the points that are missing among `numbers`, together with any other process that works on them.

        Raises:
            UserError: a setting of the sweep itself is wrong.
        """
        prepared, refused = self._prepare(numbers, tools)
        waiting = self._units(prepared, tools)
        self._refuse(refused, tools.work)
        advance(0)
        self._tell(tools.work, advance)
        while waiting:
            left = []
            for unit in waiting:
                if not self._try(unit, tools.work):
                    left.append(unit)
                self._tell(tools.work, advance)
            if len(left) == len(waiting):
                time.sleep(WAIT_SECONDS)
                self.sync()
            waiting = left
        self._tell(tools.work, advance)

    def _prepare(self, numbers: Sequence[int], tools: Tools) -> tuple[list[Prepared], dict[int, UserError]]:
        """Compose and check points, each once in a process; return those that are refused with their errors."""
        for number in numbers:
            if number not in self._prepared:
                try:
                    self._prepared[number] = tools.prepare(number, self.space.overrides(self.values[number]))
                except UserError as error:
                    self._prepared[number] = error
        found = {number: self._prepared[number] for number in numbers}
        refused = {number: one for number, one in found.items() if isinstance(one, UserError)}
        return [one for one in found.values() if isinstance(one, Prepared)], refused

    def _units(self, prepared: Sequence[Prepared], tools: Tools) -> list[Unit]:
        """Cut points into units; those that were computed together stay together, whatever points came later."""
        groups: dict[tuple[str, ...], list[Prepared]] = {}
        for point in prepared:
            groups.setdefault(tuple(self.keys.get(point.number, ())), []).append(point)
        units = [unit for some in groups.values() for unit in cut_units(some, tools.together, tools.work.needed)]
        return sorted(units, key=lambda unit: unit.number)

    def compute_alone(self, number: int, prepare: Callable[[], Unit], work: Work) -> None:
        """Compute one point in this process, whatever becomes of it."""
        try:
            unit = prepare()
        except UserError as error:
            self._refuse({number: error}, work)
            return
        self._try(unit, work)

    def _try(self, unit: Unit, work: Work) -> bool:
        """Compute a unit if nobody else does; return whether it is done."""
        self.sync()
        if self._is_done(unit):
            return True
        with self.folder.claim(unit.number) as mine:
            self.sync()
            if self._is_done(unit):
                return True
            if not mine:
                return False
            numbers = [point.number for point in unit.points]
            if cut_off := [number for number in numbers if number in self.begun]:
                log.info("%s was cut off and is computed again", _some(cut_off))
            self.folder.journal.append([{"begun": numbers, "by": this_process()}])
            outcomes = work.run(unit, self._curves_before(unit.number))
            planned = work.planned(unit)
            self._journal(dict(zip(numbers, outcomes, strict=True)), [one.key for one in planned if one])
        return True

    def _curves_before(self, number: int) -> list[list[Sequence[float]]]:
        """Return the curves of each completed point with a lower number, one for each seed: what ends points early."""
        done = [one for other, one in sorted(self.outcomes.items()) if other < number and one.status == COMPLETED]
        return [[seed.curve for seed in one.seeds] for one in done]

    def _journal(self, outcomes: dict[int, Outcome], keys: Sequence[str]) -> None:
        done = {str(number): outcome.record() for number, outcome in outcomes.items()}
        self.folder.journal.append([{"done": done, "keys": list(keys)}])
        self.sync()

    def _refuse(self, refused: dict[int, UserError], work: Work) -> None:
        """Journal the points whose configs are not valid, or whose data is not available."""
        new = {number: work.refused(error) for number, error in refused.items() if number not in self.outcomes}
        if new:
            self._journal(new, [])

    def _is_done(self, unit: Unit) -> bool:
        return all(point.number in self.outcomes for point in unit.points)

    def _reopen_outdated(self, units: Sequence[Unit], work: Work) -> None:
        """Reopen the points that no longer hold, and those that may succeed now."""
        changed: list[int] = []
        again: list[int] = []
        reasons: dict[str, None] = {}
        for unit in units:
            done = [point.number for point in unit.points if point.number in self.outcomes]
            if not done:
                continue
            if any(self._may_change(number, work.config.columns) for number in done):
                again += done
                continue
            planned = [one for one in work.planned(unit) if one]
            if [one.key for one in planned] != self.keys[done[0]]:
                changed += done
                made_by = unit.together.stage if unit.together else unit.points[0].tasks[-1].stage
                parts = planned[0].parts if planned else None
                reasons[why(parts, work.chain.store.all_of(made_by.name)) if parts else work.missing(unit)] = None
        if changed:
            because = cut("; ".join(reasons), LONGEST_REASON)
            log.info("%s run again, because what they were computed from changed: %s", _some(changed), because)
        self.reopen([*changed, *again])
        self._best = next(iter(self.ranked(work.objectives, work.tie)), None)

    def _may_change(self, number: int, columns: Sequence[str]) -> bool:
        """Whether a point that is done may succeed now, or lacks facts of columns that were asked for later."""
        one = self.outcomes[number]
        lacking = one.status == COMPLETED and any(name not in seed.facts for seed in one.seeds for name in columns)
        return one.retry or not self.keys[number] or lacking

    def _tell(self, work: Work, advance: Advance) -> None:
        """Log a line for each point that was done since the last call, with the best so far."""
        for number in sorted(set(self.outcomes) - self._told):
            self._told.add(number)
            if number < self.total:
                advance()
                log.info("%s", self._line(number, work))

    def skip_lines(self, work: Work) -> None:
        """Log no lines for the points that are done already."""
        self._told.update(self.outcomes)
        ranked = self.ranked(work.objectives, work.tie)
        self._best = ranked[0] if ranked else None

    def _line(self, number: int, work: Work) -> str:
        """Return the line of a point that is done: its score, its time, what it is, and the best so far."""
        [own] = rank_points({number: self.outcomes[number]}, work.objectives, work.tie)
        if own.score is not None and (self._best is None or self._best.score is None or own.order < self._best.order):
            self._best = own
        score = own.status if own.score is None else f"{own.score:.4f}"
        name = self.space.describe(self.values[number])
        best = self._best
        rest = f"best {best.score:.4f} (point {best.number})" if best and best.score is not None else ""
        if own.error:
            rest = own.error.splitlines()[0]
        start = (
            f"point {number:>{len(str(self.total - 1))}} of {self.total}  {score:<9}  {own.outcome.seconds:5.1f} s  "
        )
        name = cut(name, max(WIDTH - len(start) - len(rest) - 2, LEAST_ROOM))
        return f"{start}{name}  {cut(rest, WIDTH - len(start) - len(name) - 2)}".rstrip()


def _some(numbers: Sequence[int]) -> str:
    listed = ", ".join(map(str, sorted(numbers)[:8]))
    more = f" and {len(numbers) - 8} more" if len(numbers) > 8 else ""
    return f"{'point' if len(numbers) == 1 else 'points'} {listed}{more}"
