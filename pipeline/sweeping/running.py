"""A sweep from its arguments to its best run: begun or resumed, computed, ranked, completed."""

from __future__ import annotations

import logging
import os
import shlex
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from slimline.pipeline.arguments import parse_override, without_quotes
from slimline.pipeline.artifact import canonical_json, digest_text
from slimline.pipeline.config import typed_configs
from slimline.pipeline.config_files import shown
from slimline.pipeline.errors import UserError
from slimline.pipeline.progress import progress
from slimline.pipeline.refusals import explain
from slimline.pipeline.run import Run
from slimline.pipeline.runner import execute, writable_directory
from slimline.pipeline.settings import config_keys, read_settings
from slimline.pipeline.stage import Stage
from slimline.pipeline.store import Store
from slimline.pipeline.sweeping.board import Board, report_rows
from slimline.pipeline.sweeping.chain import Chain
from slimline.pipeline.sweeping.composer import PointComposer
from slimline.pipeline.sweeping.folder import COMPLETED, RUNNING, SweepFolder, find_sweep, new_sweep, this_process
from slimline.pipeline.sweeping.objectives import read_objectives, read_tie
from slimline.pipeline.sweeping.points import Prepared, prepare, run_directory
from slimline.pipeline.sweeping.ranking import Scored, rank_points
from slimline.pipeline.sweeping.search import BATCH, POINTS, check_optuna, propose
from slimline.pipeline.sweeping.space import Space, Values
from slimline.pipeline.sweeping.sweep import Sweep, Tools
from slimline.pipeline.sweeping.workers import SWEEP, is_worker, workers
from slimline.pipeline.sweeping.working import Work
from slimline.pipeline.together import Together

log = logging.getLogger(__name__)

LOOSE = ("points", "workers", "join", "resume", "new", "keep", "verbose", "columns", "skip_unavailable")
"""Settings of a sweep that do not make it another sweep."""


@dataclass
class Context:
    """What the command line gives to its sweeps.

    `finish` shows a finished sweep: it writes the pages. `typed` are the arguments as typed, `program` is how this
    program is called. `failures` collects what the command has to say at its end.
    """

    stages: Mapping[str, Stage]
    display_only: Sequence[str] = ()
    together: Mapping[str, Together] = field(default_factory=dict)
    finish: Callable[[Path], None] | None = None
    typed: Sequence[str] = ()
    program: str = "slimline"
    failures: list[UserError] = field(default_factory=list)


class SweepRun:
    """One command's part of a sweep."""

    def __init__(
        self, context: Context, composer: PointComposer, space: Space, launch: Callable[[list[list[str]]], None] | None
    ) -> None:
        """`launch` runs points, given by their overrides, in processes of their own; None: in this process."""
        self.context, self.composer, self.space, self.launch = context, composer, space, launch
        self._settings = read_settings(context.stages.values())
        first = {one.name: one.ends()[0] for one in space.dimensions}
        config = self._composed(space.overrides(first), first)
        self.run, configs = typed_configs(config, context.stages)
        self.config = self.run.sweep
        self.objectives, self.tie = read_objectives(self.config), read_tie(self.config)
        self._check(configs)
        self.total = self._total()
        self.asked = self._asked()
        self.digest = digest_text(canonical_json(self.asked))
        self.parent = run_directory(self.run)

    def _check(self, configs: Mapping[str, Any]) -> None:
        if self.space.searched:
            check_optuna(self.space)
        elif self.config.points is not None:
            raise UserError(
                f"run.sweep.points={self.config.points} is for a search, and every setting here has its values listed.",
                "Leave it out to run every combination, or give a setting an interval, such as "
                "'train.optimizer.learning_rate=tag(log,interval(1e-3,1))'.",
            )

    def _total(self) -> int:
        return (self.config.points or POINTS) if self.space.searched else self.space.grid_size

    def _asked(self) -> dict[str, Any]:
        """Return what makes this sweep another one than the next, as JSON values."""
        loose = {"run.directory", *(f"run.sweep.{name}" for name in LOOSE)}
        fixed = [parse_override(one) for one in self.space.fixed]
        settings = {one.get_key_element(): str(one.value()) for one in fixed if one.key_or_group not in loose}
        varied = {
            one.name: list(one.values) if one.interval is None else vars(one.interval) for one in self.space.dimensions
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
            self._execute(folder)

    def _plan(self) -> None:
        """Log what each point would run and why; of a search, whose points are not known, the first values."""
        values = [{one.name: one.ends()[0] for one in self.space.dimensions}]
        for number, one in enumerate(values if self.space.searched else self.space.grid()):
            overrides = self.space.overrides(one)
            log.info("\npoint %d: %s", number, self.space.describe(one))
            execute(self._composed(overrides, one), self.context.stages, overrides, targets=[self.config.target])

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

    def _execute(self, folder: SweepFolder) -> None:
        started = time.perf_counter()
        sweep = Sweep(folder, self.space, self.total)
        sweep.sync()
        directory = writable_directory(self.run)
        chain = Chain(Store(directory / "store", self.context.display_only), self.run.force)
        work = Work(self.config, chain, self._shared())
        alone = self.config.prunes or self.launch is not None
        together = None if alone else self.context.together.get(self.config.target)
        tools = Tools(work, lambda number, overrides: self._prepare(sweep, chain, number, overrides), together)
        done = sum(number in sweep.outcomes for number in range(self.total))
        self._announce(folder, done)
        if done < self.total:
            folder.note(status=RUNNING)
        sweep.skip_lines(work)
        try:
            with (
                progress(f"sweep {folder.name}", self.total, "points", done=done) as advance,
                workers(self.config.workers - 1, folder),
            ):
                for numbers in self._batches(sweep):
                    if self.launch:
                        self._launch(sweep, numbers)
                    sweep.compute(numbers, tools, advance, not self.config.join)
        except BaseException:
            self._board(sweep).write(folder.path)
            raise
        if is_worker():
            return
        with folder.ending:
            sweep.sync()
            if done == self.total and folder.about["status"] == COMPLETED:
                log.info("sweep     %s is finished; run.sweep.new=true begins another one", folder.name)
            else:
                folder.note(seconds=round(folder.about["seconds"] + time.perf_counter() - started, 1))
            self._finish(sweep)

    def _announce(self, folder: SweepFolder, done: int) -> None:
        kind = "search" if self.space.searched else "grid"
        each = f", {self.config.seeds} seeds each" if self.config.seeds > 1 else ""
        state = "" if not done else f": {done} of them are done"
        log.info("sweep     %s  %s of %d points%s%s", folder.name, kind, self.total, each, state)
        log.info("-> %s", shown(folder.path))

    def _shared(self) -> list[str]:
        """Return the stages that are equal for all points: those that no varied setting names."""
        varied = {one.name.lstrip("+~").partition(".")[0].partition("/")[0] for one in self.space.dimensions}
        return [name for name in self.context.stages if name not in {*varied, self.config.target}]

    def _prepare(self, sweep: Sweep, chain: Chain, number: int, overrides: list[str]) -> Prepared:
        config = self._composed(overrides, sweep.values[number])
        return prepare(number, overrides, config, self.context.stages, chain)

    def _batches(self, sweep: Sweep) -> Any:
        """Yield the numbers of the points that can be computed next; the points of a search depend on those before."""
        if not self.space.searched:
            sweep.ask(lambda: list(self.space.grid()), 0)
            yield range(self.total)
            return
        for first in range(0, self.total, BATCH):
            before = first

            def draw(before: int = before) -> Sequence[Values]:
                finished = [
                    one
                    for number in range(before)
                    for one in rank_points({number: sweep.outcomes[number]}, self.objectives, self.tie)
                ]
                return propose(self.space, sweep.values, finished, self.objectives, self.config.sampler_seed, BATCH)

            sweep.ask(draw, first)
            yield range(first, min(first + BATCH, self.total))

    def _board(self, sweep: Sweep) -> Board:
        ranked = sweep.ranked(self.objectives, self.tie)
        return Board(
            ranked, self.space, sweep.values, self.objectives, self.tie, self.config.columns, sweep.runs, self._command
        )

    def _command(self, overrides: Sequence[str]) -> str:
        """Return the command that runs a point by itself, with as few quotes as possible."""
        own = [one for one in overrides if not one.startswith("run.sweep.")]
        return shlex.join([*shlex.split(self.context.program), *(without_quotes(one, self._settings) for one in own)])

    def _finish(self, sweep: Sweep) -> None:
        folder = sweep.folder
        board = self._board(sweep)
        board.write(folder.path)
        log.info("\n%s\n", board.lines())
        best = [one for one in board.ranked if one.score is not None]
        for place in reversed(range(min(self.config.keep, len(best)))):
            self._complete(sweep, board, place)
        board = self._board(sweep)
        board.write(folder.path)
        folder.note(status=COMPLETED, winner=best[0].number if best else None, runs=dict(sweep.runs))
        if best and (version := sweep.runs.get(str(best[0].number))):
            _link(folder.path / "best", f"../../{version}")
        folder.clear_claims()
        self._show(folder)
        self._tell_failures(sweep, board, best)

    def _show(self, folder: SweepFolder) -> None:
        """Write the pages of the sweep; if that fails, the sweep itself is kept and complete."""
        if self.context.finish is None:
            return
        try:
            self.context.finish(folder.path)
        except Exception as error:
            log.warning("%s", traceback.format_exc())
            self.context.failures.append(
                UserError(
                    f"The leaderboard's page could not be written: {type(error).__name__}: {error}",
                    f"The sweep is complete. To write the page again: "
                    f"{self.context.program} +experiment=leaderboard leaderboard.of={shown(folder.path)}",
                )
            )
        else:
            log.info("leaderboard: %s", shown(folder.path / "leaderboard.html"))

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

    def _complete(self, sweep: Sweep, board: Board, place: int) -> None:
        """Run all stages for one of the best points, unless that has been done."""
        one = board.ranked[place]
        if (version := sweep.runs.get(str(one.number))) and (self.parent / version / "manifest.json").is_file():
            return
        overrides = self.space.overrides(sweep.values[one.number])
        log.info("completing point %d: %s", one.number, self.space.describe(sweep.values[one.number]))
        config = self._composed(overrides, sweep.values[one.number])
        about: dict[str, Any] = {"sweep": {"of": sweep.folder.name, "point": one.number}}
        if place == 0:
            about["winner_of"] = report_rows(board)
        run = execute(config, self.context.stages, overrides, display_only=self.context.display_only, **about)
        assert run is not None
        sweep.folder.journal.append([{"runs": {str(one.number): run.path.name}}])
        sweep.sync()
        self.context.failures.extend(UserError(text) for text in run.failures)
        self._compare(one, run)

    def _compare(self, one: Scored, run: Run) -> None:
        """Say so if the run of a point differs from its row: points that are computed together may, slightly."""
        stage, _, fact = self.objectives[0].name.rpartition(".")
        found = run.manifest["stages"].get(stage, {}).get("facts", {}).get(fact)
        if found is not None and found != one.scores[0]:
            log.warning(
                "%s: %s is %.6g in the run of point %d, but %.6g in its row of the sweep",
                shown(run.path),
                self.objectives[0].name,
                found,
                one.number,
                one.scores[0],
            )

    def _tell_failures(self, sweep: Sweep, board: Board, best: Sequence[Scored]) -> None:
        failed = [one for one in board.ranked if one.status == "failed"]
        if not failed:
            return
        listed = [f"  point {one.number}: {one.error.splitlines()[0]}" for one in failed[:3]]
        which = (
            "Every point" if not best and len(failed) == len(board.ranked) else f"{len(failed)} of {self.total} points"
        )
        rest = "" if best else ", so there is no best point to complete"
        self.context.failures.append(
            UserError(
                f"{which} of the sweep failed{rest}:",
                *listed,
                f"All errors are in {shown(sweep.folder.path / 'leaderboard.html')}.",
            )
        )


def _link(path: Path, target: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    os.replace(temporary, path)
