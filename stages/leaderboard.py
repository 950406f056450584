"""Leaderboard: write a sweep's page again, from its files, and print its best points."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from slimline.pipeline.artifact import Facts
from slimline.pipeline.stage import stage


@dataclass
class LeaderboardConfig:
    """The sweep: its folder, its name such as `s003`, or a full run of it; `directory` is the folder of the runs."""

    of: str = ""
    directory: str = "runs"


def settle_sweep(config: LeaderboardConfig, plan: bool) -> LeaderboardConfig:
    """Replace `of` by the sweep's folder, and check that the sweep can be read, before a run is started."""
    from slimline.stages.pages.sweep_choice import find_sweep
    from slimline.stages.pages.sweep_folder import read_sweep

    folder = find_sweep(config.of, Path(config.directory))
    read_sweep(folder)
    return LeaderboardConfig(str(folder), config.directory)


@stage(cache=False, resolve=settle_sweep, shown=("points", "best"))
def leaderboard(config: LeaderboardConfig, out: Path) -> Facts:
    """Write `leaderboard.html` and TensorBoard's `logs` into the sweep's folder, and print the table.

    The page belongs into the sweep's folder and not into `out`: its links to full runs are relative to it.

    Raises:
        UserError: the folder is not a sweep's, a file is damaged or of a later version, or there are no points.
    """
    from slimline.stages.pages.leaderboard import show_leaderboard

    return show_leaderboard(Path(config.of))
