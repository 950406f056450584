"""A sweep, read from its folder: what was varied and why, and a row for each of its points."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from slimline.pipeline.errors import UserError

RECORD, BOARD = "sweep.json", "leaderboard.parquet"
FORMAT = 1
ALWAYS = ("rank", "point", "status", "score", "scores", "seconds", "error", "command", "artifacts", "members", "run")
"""The columns of every sweep; those of its objectives, facts and settings follow from its record."""

Row = Mapping[str, Any]


class Objective(NamedTuple):
    """A fact that decides, by its full name such as `train.validation_top1`, and whether more of it is better."""

    name: str
    maximize: bool

    @property
    def direction(self) -> str:
        """The direction in words."""
        return "higher is better" if self.maximize else "lower is better"


class Sweep(NamedTuple):
    """A sweep: its record, and its points as rows, best first and those without a score last.

    `command` holds the arguments as typed. `facts` are the full names of the measured columns: the objectives, then the
    tie-breaker and the facts to show. `settings` are the names of what varied. `runs` maps the number of a point to the
    name of its full run. Numbers in `rows` that are not finite are None.
    """

    folder: Path
    experiment: str
    status: str
    command: Sequence[str]
    target: str
    objectives: Sequence[Objective]
    tie: Objective | None
    facts: Sequence[str]
    settings: Sequence[str]
    fixed: Sequence[str]
    seeds: int
    started: datetime
    seconds: float
    winner: int | None
    runs: Mapping[int, str]
    rows: Sequence[Row]

    @property
    def scored(self) -> list[Row]:
        """The points with a score, best first."""
        return [row for row in self.rows if row["score"] is not None]


def read_sweep(folder: Path) -> Sweep:
    """Read a sweep's `sweep.json` and `leaderboard.parquet`.

    Raises:
        UserError: the folder is not a sweep's, a file is damaged or of a later version, or there are no points.
    """
    record = read_record(folder)
    path = folder / BOARD
    if not path.is_file():
        raise _without_points(folder)
    try:
        table = pq.read_table(path)
        sweep = _sweep(folder, record, [_finite(row) for row in table.to_pylist()])
        if not sweep.rows:
            raise _without_points(folder)
        needed = [*ALWAYS, *sweep.facts, *sweep.settings, *(["pareto"] if len(sweep.objectives) > 1 else [])]
        if missing := [name for name in needed if name not in table.column_names]:
            raise ValueError(f"the column {missing[0]} is missing")
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(path, error) from error
    return sweep


def read_record(folder: Path) -> dict[str, Any]:
    """Read a sweep's `sweep.json`.

    Raises:
        UserError: it does not exist, is damaged, or was written by a later version.
    """
    path = folder / RECORD
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        number = int(record["format"])
    except FileNotFoundError as error:
        raise UserError(
            f"{folder} is not the folder of a sweep: it has no {RECORD}.", "Name a sweep's folder."
        ) from error
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise _damaged(path, error) from error
    if number > FORMAT:
        raise UserError(
            f"{path} was written by a later version of Slimline: its format is {number}; this version reads {FORMAT}.",
            "Use the version that ran the sweep, or a later one.",
        )
    return record


def short_names(names: Sequence[str]) -> list[str]:
    """Return the last part of each dotted name, or the whole name if its last part is not unique."""
    last = [name.rpartition(".")[2] for name in names]
    return [one if last.count(one) == 1 else name for name, one in zip(names, last, strict=True)]


def _sweep(folder: Path, record: Mapping[str, Any], rows: list[Row]) -> Sweep:
    objectives = [Objective(one["name"], bool(one["maximize"])) for one in record["metrics"]]
    tie = Objective(record["tie"]["name"], bool(record["tie"]["maximize"])) if record["tie"] else None
    facts = [*(one.name for one in objectives), *([tie.name] if tie else []), *record["columns"]]
    return Sweep(
        folder=folder,
        experiment=str(record["experiment"]),
        status=str(record["status"]),
        command=[str(argument) for argument in record["command"]],
        target=str(record["target"]),
        objectives=objectives,
        tie=tie,
        facts=list(dict.fromkeys(facts)),
        settings=list(record["settings"]),
        fixed=list(record["fixed"]),
        seeds=int(record["seeds"]),
        started=datetime.fromisoformat(record["started"]),
        seconds=float(record["seconds"]),
        winner=record["winner"],
        runs={int(point): str(run) for point, run in record["runs"].items()},
        rows=rows,
    )


def _finite(row: Row) -> Row:
    """Return a row with None for numbers that are not finite, such as the loss of a training that diverged."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in row.items()
    }


def _without_points(folder: Path) -> UserError:
    return UserError(
        f"The sweep {folder} has no points yet.",
        "Run the sweep's command again to continue it; its leaderboard is written when points have run.",
    )


def _damaged(path: Path, error: Exception) -> UserError:
    what = str(error).partition("\n")[0]
    return UserError(
        f"{path} is damaged ({type(error).__name__}: {what}).",
        "Run the sweep's command again: finished points are kept, and the leaderboard is written again.",
    )
