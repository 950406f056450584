"""The end of a sweep: its leaderboard, the runs that complete the best points, and what failed."""

from __future__ import annotations

import logging
import math
import secrets
import shlex
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from slimline.pipeline.arguments import without_quotes
from slimline.pipeline.config import SweepConfig
from slimline.pipeline.config_files import shown
from slimline.pipeline.errors import GateFailed, UserError
from slimline.pipeline.run import Run, point_link, read_manifest
from slimline.pipeline.runner import execute
from slimline.pipeline.settings import read_settings
from slimline.pipeline.stage import Stage
from slimline.pipeline.sweeping.board import Board
from slimline.pipeline.sweeping.folder import COMPLETED, SweepFolder
from slimline.pipeline.sweeping.objectives import read_objectives, read_tie
from slimline.pipeline.sweeping.points import FAILED
from slimline.pipeline.sweeping.ranking import Scored
from slimline.pipeline.sweeping.space import Space, Values
from slimline.pipeline.sweeping.sweep import Sweep
from slimline.pipeline.together import Together

log = logging.getLogger(__name__)

MOST_ERRORS = 3
CLOSE = 1e-4
"""Relative difference that rounding explains; one photo more or less is larger."""
PAGE = "leaderboard.html"


@dataclass
class Context:
    """What the command line gives to its sweeps.

    `finish` shows a finished sweep: it writes the pages. `typed` are the arguments as typed, `arguments` the settings
    among them as Hydra reads them. `program` is how this program is called. `failures` collects what the command has to
    say at its end.
    """

    stages: Mapping[str, Stage]
    display_only: Sequence[str] = ()
    together: Mapping[str, Together] = field(default_factory=dict)
    finish: Callable[[Path], None] | None = None
    typed: Sequence[str] = ()
    arguments: Sequence[str] = ()
    program: str = "slimline"
    failures: list[UserError] = field(default_factory=list)


class Ending:
    """What happens once all points are done."""

    def __init__(
        self,
        context: Context,
        space: Space,
        config: SweepConfig,
        parent: Path,
        compose: Callable[[Sequence[str], Values], DictConfig],
    ) -> None:
        """`parent` is the folder of the experiment's runs; `compose` returns a point's config from its overrides."""
        self.context, self.space, self.config, self.parent, self._compose = context, space, config, parent, compose
        self.objectives, self.tie = read_objectives(config), read_tie(config)
        self._settings = read_settings(context.stages.values())

    def board(self, sweep: Sweep) -> Board:
        """Return the leaderboard of the points that are done."""
        ranked = sweep.ranked(self.objectives, self.tie)
        return Board(
            ranked, self.space, sweep.values, self.objectives, self.tie, self.config.columns, sweep.runs, self._command
        )

    def _command(self, overrides: Sequence[str]) -> str:
        """Return the command that runs a point by itself, with as few quotes as possible."""
        own = [one for one in overrides if not one.startswith("run.sweep.")]
        return shlex.join([*shlex.split(self.context.program), *(without_quotes(one, self._settings) for one in own)])

    def finish(self, sweep: Sweep) -> None:
        """Show the leaderboard, complete the best points, and collect what failed in the context."""
        folder, before = sweep.folder, dict(sweep.runs)
        board = self.board(sweep)
        board.write(folder.path)
        log.info("\n%s\n", board.lines())
        best = [one for one in board.ranked if one.score is not None]
        for place in reversed(range(min(self.config.keep, len(best)))):
            try:
                self._complete(sweep, board, place)
            except UserError as error:  # the run's own manifest has it too; the sweep is complete without this run
                self.context.failures.append(error)
                if isinstance(error, GateFailed):  # the same command would reach the same result
                    self._note_run(sweep, board.ranked[place].number, self._begun(sweep, board.ranked[place].number))
        board = self.board(sweep)
        board.write(folder.path)
        winner = best[0].number if best else None
        folder.note(status=COMPLETED, winner=winner, runs=dict(sweep.runs), columns=list(self.config.columns))
        if best and (version := sweep.runs.get(str(best[0].number))):
            point_link(folder.path / "best", f"../../{version}")
            if sweep.runs != before:
                point_link(
                    self.parent / "latest", version
                )  # not that of a lower place, which may have been completed later
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
            if not isinstance(error, OSError):  # such as a full disk, which needs no traceback
                log.warning("%s", traceback.format_exc())
            self.context.failures.append(
                UserError(
                    f"The leaderboard's page could not be written: {type(error).__name__}: {error}",
                    f"The sweep is complete. To write the page again: "
                    f"{self.context.program} +experiment=leaderboard leaderboard.of={shown(folder.path)}",
                )
            )
        else:
            log.info("leaderboard: %s", shown(folder.path / PAGE))

    def _complete(self, sweep: Sweep, board: Board, place: int) -> None:
        """Run all stages for one of the best points, unless that has been done."""
        one = board.ranked[place]
        version = sweep.runs.get(str(one.number)) or self._begun(sweep, one.number)
        if version and (manifest := self._manifest(version)):
            if str(one.number) not in sweep.runs:
                self._note_run(sweep, one.number, version)
            if any("gate" in stage for stage in manifest["stages"].values()):
                self.context.failures.append(GateFailed(manifest["error"]))
            return
        mark = secrets.token_hex(4)
        sweep.folder.journal.append([{"completing": {str(one.number): mark}}])
        sweep.sync()
        overrides = self.space.overrides(sweep.values[one.number])
        log.info("completing point %d: %s", one.number, self.space.describe(sweep.values[one.number]))
        config = self._compose(overrides, sweep.values[one.number])
        about: dict[str, Any] = {"sweep": {"of": sweep.folder.name, "point": one.number}, "mark": mark}
        if place == 0:
            about["winner_of"] = board.for_report()
        run = execute(config, self.context.stages, overrides, display_only=self.context.display_only, **about)
        assert run is not None
        self._note_run(sweep, one.number, run.path.name)
        self.context.failures.extend(UserError(text) for text in run.failures)
        self._compare(one, run)

    def _note_run(self, sweep: Sweep, number: int, version: str | None) -> None:
        if version:
            sweep.folder.journal.append([{"runs": {str(number): version}}])
            sweep.sync()

    def _manifest(self, version: str) -> Mapping[str, Any] | None:
        """Return a run's manifest, or None if it is gone or damaged."""
        try:
            manifest = read_manifest(self.parent / version)
            return manifest if {"status", "stages"} <= manifest.keys() else None
        except (OSError, ValueError, AttributeError):
            return None

    def _begun(self, sweep: Sweep, number: int) -> str | None:
        """Return the run of a point that ended, but was not noted: its process was killed, or a gate was closed."""
        mark = sweep.completing.get(str(number))
        for path in sorted(self.parent.glob("v*"), reverse=True) if mark else ():
            manifest = self._manifest(path.name)
            if manifest and manifest.get("mark") == mark:
                gated = any("gate" in stage for stage in manifest["stages"].values())
                return path.name if manifest["status"] == "completed" or gated else None
        return None

    def _compare(self, one: Scored, run: Run) -> None:
        """Say so if the run of a point differs from its row: points that are computed together may, slightly."""
        stage, _, fact = self.objectives[0].name.rpartition(".")
        found = run.manifest["stages"].get(stage, {}).get("facts", {}).get(fact)
        if found is not None and not math.isclose(found, one.scores[0], rel_tol=CLOSE):
            log.warning(
                "%s: %s is %.6g in the run of point %d, but %.6g in its row of the sweep",
                shown(run.path),
                self.objectives[0].name,
                found,
                one.number,
                one.scores[0],
            )

    def _tell_failures(self, sweep: Sweep, board: Board, best: Sequence[Scored]) -> None:
        failed = [one for one in board.ranked if one.status == FAILED]
        if not failed and not best:
            self.context.failures.append(
                UserError(
                    "No point of the sweep has a score, so there is no best point to complete.",
                    f"The reasons are in {shown(sweep.folder.path / PAGE)}.",
                )
            )
        if not failed:
            return
        listed = [f"  point {one.number}: {one.error.splitlines()[0]}" for one in failed[:MOST_ERRORS]]
        which = (
            "Every point" if not best and len(failed) == len(board.ranked) else f"{len(failed)} of {sweep.total} points"
        )
        rest = "" if best else ", so there is no best point to complete"
        self.context.failures.append(
            UserError(
                f"{which} of the sweep failed{rest}:",
                *listed,
                f"All errors are in {shown(sweep.folder.path / PAGE)}.",
            )
        )
