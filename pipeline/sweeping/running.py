"""A sweep from its arguments to its best run: begun or resumed, computed, ranked, completed."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from slimline.pipeline.arguments import parse_override
from slimline.pipeline.artifact import canonical_json, digest_text
from slimline.pipeline.config import typed_configs
from slimline.pipeline.config_files import shown
from slimline.pipeline.errors import UserError
from slimline.pipeline.progress import progress
from slimline.pipeline.refusals import explain
from slimline.pipeline.runner import execute, writable_directory
from slimline.pipeline.settings import config_keys
from slimline.pipeline.store import Store
from slimline.pipeline.sweeping.chain import Chain
from slimline.pipeline.sweeping.composer import PointComposer
from slimline.pipeline.sweeping.ending import Context, Ending
from slimline.pipeline.sweeping.folder import COMPLETED, RUNNING, SweepFolder, find_sweep, new_sweep, this_process
from slimline.pipeline.sweeping.objectives import read_objectives, read_tie
from slimline.pipeline.sweeping.points import Prepared, check_seeds, check_target, prepare, run_directory
from slimline.pipeline.sweeping.ranking import rank_points
from slimline.pipeline.sweeping.search import BATCH, POINTS, check_optuna, propose
from slimline.pipeline.sweeping.space import Space, Values, value_of
from slimline.pipeline.sweeping.sweep import Sweep, Tools
from slimline.pipeline.sweeping.workers import SWEEP, is_worker, workers
from slimline.pipeline.sweeping.working import Work, varied_stages

log = logging.getLogger(__name__)

LOOSE = (
    "points",
    "point_settings",
    "workers",
    "join",
    "resume",
    "new",
    "keep",
    "verbose",
    "columns",
    "skip_unavailable",
)
"""Settings of a sweep that do not make it another sweep."""


class SweepRun:
    """One command's part of a sweep."""

    def __init__(
        self, context: Context, composer: PointComposer, space: Space, launch: Callable[[list[list[str]]], None] | None
    ) -> None:
        """`launch` runs points, given by their overrides, in processes of their own; None: in this process."""
        self.context, self.composer, self.space, self.launch = context, composer, space, launch
        first = {one.name: one.ends()[0] for one in space.dimensions}
        config = self._composed(space.overrides(first), first)
        self.run, configs = typed_configs(config, context.stages)
        self.config = self.run.sweep
        self.objectives, self.tie = read_objectives(self.config), read_tie(self.config)
        check_seeds(config)
        self._check(configs)
        self.total = self._total()
        self.asked = self._asked()
        self.digest = digest_text(canonical_json(self.asked))
        self.parent = run_directory(self.run)

    def _check(self, configs: Mapping[str, Any]) -> None:
        check_target(self.config.target, configs, self.context.stages)
        if self.launch and (self.config.workers > 1 or self.config.join):
            raise UserError(
                "A launcher of Hydra and run.sweep.workers or run.sweep.join cannot be used together.",
                "Use one of them: the launcher already runs each point in a process of its own.",
            )
        if self.space.searched:
            check_optuna(self.space)
        elif self.config.points is not None:
            raise UserError(
                f"run.sweep.points={self.config.points} is for a search, and every setting here has its values listed.",
                "Leave it out to run every combination, or give a setting an interval, such as "
                "'train.optimizer.learning_rate=tag(log,interval(1e-3,1))'.",
            )

    def _total(self) -> int:
        if not self.space.searched:
            return self.space.grid_size
        return int(min(self.config.points or POINTS, self.space.size))

    def _asked(self) -> dict[str, Any]:
        """Return what makes this sweep another one than the next, as JSON values."""
        loose = {"run.directory", *(f"run.sweep.{name}" for name in LOOSE)}
        fixed = [parse_override(one) for one in self.space.fixed]
        settings = {one.get_key_element(): str(one.value()) for one in fixed if one.key_or_group not in loose}
        varied = {
            one.name: sorted(map(value_of, one.values), key=repr) if one.interval is None else vars(one.interval)
            for one in self.space.dimensions
        }
        sweep = {name: value for name, value in vars(self.config).items() if name not in LOOSE}
        sweep["prune"] = self.config.prune.name
        return {"settings": settings, "varied": varied, "sweep": sweep}

    def _composed(self, overrides: Sequence[str], values: Values) -> DictConfig:
        """Compose a point's config.

        Raises:
            UserError: Hydra rejects an override.
        """
        try:
            return self.composer.compose(overrides, [f"{name}={value}" for name, value in values.items()])
        except (HydraException, OmegaConfBaseException) as error:
            raise explain(error, config_keys(self.context.stages.values())) from None

    def execute(self) -> None:
        """Begin, resume or join the sweep, compute what is missing, and complete the best points.

        Raises:
            UserError: the sweep cannot be run; what is wrong with single points is in `context.failures` instead.
        """
        writable_directory(self.run)
        if self.run.plan:
            self._plan()
            return
        folder = self._folder()
        with folder.owned(self.config.join) as held:
            if held:
                folder.recover()
            self._execute(folder, refresh=held and not is_worker())

    def _plan(self) -> None:
        """Log what each point would run and why; of a search, whose points are not known, the first values."""
        values = [{one.name: one.ends()[0] for one in self.space.dimensions}]
        if self.space.searched:
            log.info("search of %d points, which are not known before it runs; with the smallest values:", self.total)
        for number, one in enumerate(values if self.space.searched else self.space.grid()):
            overrides = self.space.overrides(one)
            log.info("\npoint %d: %s", number, self.space.describe(one))
            execute(
                self._composed(overrides, one),
                self.context.stages,
                overrides,
                targets=[self.config.target],
                display_only=self.context.display_only,
            )

    def _folder(self) -> SweepFolder:
        """Find the sweep that was asked the same, or begin one."""
        with SweepFolder.beginning(self.parent):
            found = None if self.config.new else find_sweep(self.parent, self.digest, self.config.resume, self.asked)
            if found:
                return found
            folder = new_sweep(self.parent)
            folder.note(
                status=RUNNING,
                experiment=self.run.name,
                command=list(self.context.typed),
                target=self.config.target,
                metrics=[one._asdict() for one in self.objectives],
                tie=self.tie._asdict() if self.tie else None,
                columns=list(self.config.columns),
                settings=[one.name.lstrip("+") for one in self.space.dimensions],
                fixed=list(self.space.fixed),
                seeds=self.config.seeds,
                started=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
                seconds=0.0,
                winner=None,
                runs={},
                digest=self.digest,
                asked=self.asked,
                by=this_process(),
            )
            return folder

    def _execute(self, folder: SweepFolder, refresh: bool) -> None:
        started = time.perf_counter()
        sweep = Sweep(folder, self.space, self.total)
        sweep.sync()
        if self.space.searched and (before := max(sweep.outcomes, default=-1) + 1) > self.total:
            log.info("%s has %d points already; a sweep is not made smaller", folder.name, before)
            self.total = sweep.total = before
        directory = writable_directory(self.run)
        chain = Chain(Store(directory / "store", self.context.display_only), self.run.force)
        work = Work(self.config, chain, self._varied())
        alone = self.config.prunes or self.launch is not None or self.config.target in self.run.force
        together = None if alone else self.context.together.get(self.config.target)
        tools = Tools(work, lambda number, overrides: self._prepare(sweep, chain, number, overrides), together)
        done = sum(number in sweep.outcomes for number in range(self.total))
        sweep.skip_lines(work)
        ending = Ending(self.context, self.space, self.config, self.parent, self._composed)
        self._announce(folder, done)
        folder.note(columns=list(self.config.columns), **({"status": RUNNING} if done < self.total else {}))
        try:
            if refresh:
                sweep.refresh(tools)
            with (
                progress(f"sweep {folder.name}", self.total, "points", done=done) as advance,
                workers(self.config.workers - 1, folder),
            ):
                for numbers in self._batches(sweep):
                    if self.launch:
                        self._launch(sweep, numbers)
                    sweep.compute(numbers, tools, advance)
        except BaseException:
            with suppress(OSError):  # such as a full disk, which the error that is raised says itself
                ending.board(sweep).write(folder.path)
            raise
        if is_worker():
            return
        with folder.ending:
            sweep.sync()
            if done == self.total and folder.about["status"] == COMPLETED:
                log.info("sweep     %s is finished; run.sweep.new=true begins another one", folder.name)
            else:
                folder.note(seconds=round(folder.about["seconds"] + time.perf_counter() - started, 1))
            ending.finish(sweep)

    def _announce(self, folder: SweepFolder, done: int) -> None:
        kind = "search" if self.space.searched else "grid"
        each = f", {self.config.seeds} seeds each" if self.config.seeds > 1 else ""
        state = "" if not done else f": {done} of them are done"
        points = "1 point" if self.total == 1 else f"{self.total} points"
        log.info("sweep     %s  %s of %s%s%s", folder.name, kind, points, each, state)
        log.info("-> %s", shown(folder.path))

    def _varied(self) -> frozenset[str]:
        """Return the stages whose settings vary; those that depend on them differ between points too."""
        return varied_stages((one.name for one in self.space.dimensions), self.config.target)

    def _prepare(self, sweep: Sweep, chain: Chain, number: int, overrides: list[str]) -> Prepared:
        config = self._composed(overrides, sweep.values[number])
        return prepare(number, overrides, config, self.context.stages, chain)

    def _batches(self, sweep: Sweep) -> Iterator[Sequence[int]]:
        """Yield the numbers of the points that can be computed next; the points of a search depend on those before."""
        if not self.space.searched:
            sweep.ask(lambda: list(self.space.grid()), 0)
            yield range(self.total)
            return
        for first in range(0, self.total, BATCH):
            while not sweep.ask(partial(self._draw, sweep, first), first):
                yield [number for number in range(first) if number not in sweep.outcomes]  # they were reopened
            yield range(first, min(first + BATCH, self.total))

    def _draw(self, sweep: Sweep, first: int) -> list[Values]:
        """Propose a batch of points from all points before it."""
        done = [{number: sweep.outcomes[number]} for number in range(first)]
        finished = [one for outcome in done for one in rank_points(outcome, self.objectives, self.tie)]
        return propose(self.space, sweep.values, finished, self.objectives, self.config.sampler_seed, BATCH)

    def _launch(self, sweep: Sweep, numbers: Sequence[int]) -> None:
        """Let Hydra's launcher run the points that are missing; those whose process ended without a result failed."""
        assert self.launch
        sweep.sync()
        missing = [number for number in numbers if number not in sweep.outcomes]
        os.environ[SWEEP] = str(sweep.folder.path)
        self.launch([self.space.overrides(sweep.values[number]) for number in missing])
        sweep.sync()
        lost = [number for number in missing if number not in sweep.outcomes]
        sweep.fail(lost, "The process that ran this point ended without a result.")
