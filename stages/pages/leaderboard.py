"""The leaderboard: a page on the points of a sweep, what was varied, and how much it mattered."""

from __future__ import annotations

import shlex
from collections import Counter
from pathlib import Path
from textwrap import fill
from typing import NamedTuple

from slimline.pipeline.artifact import Facts, write_text
from slimline.pipeline.commands import program_name
from slimline.pipeline.config_files import shown
from slimline.stages.pages.hyperparameters import write_hparams
from slimline.stages.pages.leaderboard_cautions import choice_caution, doubts
from slimline.stages.pages.leaderboard_charts import curve_figure, parallel_figure
from slimline.stages.pages.leaderboard_curves import MEASURES, read_curves
from slimline.stages.pages.leaderboard_table import (
    WIDTH,
    board_columns,
    board_lines,
    figure,
    measure,
    printed_table,
    varied,
)
from slimline.stages.pages.render import percent, render
from slimline.stages.pages.sweep_folder import Row, Sweep, read_sweep
from slimline.stages.pages.tables import Table, bar
from slimline.stages.scoring.importance import Importance, importance

PAGE = "leaderboard.html"
MOST_VALUES = 8


def write_leaderboard(folder: Path) -> None:
    """Write `leaderboard.html` into a sweep's folder, from `sweep.json`, `leaderboard.parquet` and its histories.

    Raises:
        UserError: the folder is not a sweep's, a file is damaged or of a later version, or there are no points.
    """
    write_text(folder / PAGE, leaderboard_page(read_sweep(folder)))


def show_leaderboard(folder: Path) -> Facts:
    """Write the page and TensorBoard's logs of a sweep, and print its best points and why their order is uncertain.

    Returns:
        The facts of the `leaderboard` stage.
    """
    sweep = read_sweep(folder)
    write_text(folder / PAGE, leaderboard_page(sweep))
    write_hparams(folder)
    said = [*filter(None, [choice_caution(sweep)]), *doubts(sweep)]
    print("\n".join(["", printed_table(sweep), "", *(fill(text, WIDTH) for text in said), ""]))
    best = sweep.scored[0]["score"] if sweep.scored else None
    return {
        "points": len(sweep.rows),
        **({"best": best} if best is not None else {}),
        "headline": f"board     {shown(folder / PAGE)}",
    }


def leaderboard_page(sweep: Sweep) -> str:
    """Return the page, which loads nothing from other hosts."""
    columns = board_columns(sweep)
    curves, missing = read_curves(sweep)
    return render(
        PAGE,
        title=f"Sweep {sweep.folder.resolve().name} of {sweep.experiment}: {_counted(len(sweep.rows))}",
        sweep=sweep,
        program=program_name(),
        command=shlex.join(sweep.command),
        cautions=[caution for caution in (choice_caution(sweep),) if caution],
        doubts=doubts(sweep),
        numbers=numbers(sweep),
        about=list(about(sweep).items()),
        columns=columns,
        lines=board_lines(sweep, columns),
        sort_values=[list(column.values) for column in columns],
        parallel=parallel_figure(sweep) if sweep.scored else None,
        importances=importances(sweep),
        curves=curves,
        missing=missing,
        figures={name.replace("_", " "): curve_figure(curves, name) for name in MEASURES} if curves else {},
        curve_names=Table(
            ["rank", "what varied"], [[str(one.row["rank"]), varied(sweep, one.row)] for one in curves], texts=(1,)
        ),
        troubles=troubles(sweep),
    )


class Trouble(NamedTuple):
    """Points that did not complete, for the same reason: a title, the whole error, and a table of the points."""

    title: str
    error: str
    points: Table


def troubles(sweep: Sweep) -> list[Trouble]:
    """Return the points that did not complete; those with the same error are one entry, since it may be long."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in sweep.rows:
        if row["status"] != "completed":
            groups.setdefault((row["status"], (row["error"] or "").strip()), []).append(row)
    return [
        Trouble(
            f"{status}: {_counted(len(rows))}",
            error,
            Table(["point", "what varied"], [[str(row["point"]), varied(sweep, row)] for row in rows], texts=(1,)),
        )
        for (status, error), rows in groups.items()
    ]


def _counted(points: int) -> str:
    return "1 point" if points == 1 else f"{points:,} points"


def numbers(sweep: Sweep) -> dict[str, str]:
    """Return the most important numbers by name."""
    counts = Counter(row["status"] for row in sweep.rows)
    best = {sweep.objectives[0].name: measure(sweep.scored[0]["score"])} if sweep.scored else {}
    counted = {name: f"{count:,}" for name, count in counts.items()}
    return {**{f"best {name}": value for name, value in best.items()}, **counted, "time": f"{sweep.seconds:,.1f} s"}


def about(sweep: Sweep) -> dict[str, str]:
    """Return what was swept and how the points were compared, by name."""
    tie = f"{sweep.tie.name}, {sweep.tie.direction}" if sweep.tie else "the point that was asked for first"
    return {
        "each point ran up to": sweep.target,
        "decided by": "; ".join(f"{one.name}, {one.direction}" for one in sweep.objectives),
        "ties decided by": tie,
        "seeds of each point": f"{sweep.seeds:,}",
        **{f"varied: {name}": _values(sweep, name) for name in sweep.settings},
        "the same in all points": " ".join(sweep.fixed),
        "started": f"{sweep.started:%Y-%m-%d %H:%M}",
        "status": sweep.status,
    }


def _values(sweep: Sweep, name: str) -> str:
    """Return the values of a setting, or the ends of their range if there are many numbers."""
    found = {row[name] for row in sweep.rows if row[name] is not None}
    texts = any(isinstance(value, str) for value in found)
    if len(found) > MOST_VALUES and not texts:
        return f"{len(found):,} values from {figure(min(found))} to {figure(max(found))}"
    shown = [figure(value) for value in sorted(found, key=str if texts else None)]
    more = f", and {len(shown) - MOST_VALUES:,} more" if len(shown) > MOST_VALUES else ""
    return ", ".join(shown[:MOST_VALUES]) + more


def importances(sweep: Sweep) -> list[tuple[str, Importance, Table]]:
    """Return for each objective how important each setting is, as a table with bars."""
    found = []
    for one in sweep.objectives:
        rows = [row for row in sweep.scored if row[one.name] is not None]
        settings = {name: [row[name] for row in rows] for name in sweep.settings}
        result = importance(settings, [row[one.name] for row in rows])
        most = max(result.shares.values(), default=0.0)
        lines = [[name, percent(share), bar(share, most)] for name, share in result.shares.items()]
        found.append((one.name, result, Table(["setting", "importance", ""], lines, texts=(0, 2))))
    return found
