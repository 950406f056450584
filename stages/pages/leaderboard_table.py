"""The table of a leaderboard: for the page, with values to sort by, and as text for the terminal."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from slimline.pipeline.text_table import text_table
from slimline.stages.pages.render import plain
from slimline.stages.pages.sweep_folder import Row, Sweep, short_names
from slimline.stages.scoring.intervals import Interval
from slimline.stages.scoring.seed_intervals import seed_interval

MILLION = 1_000_000
WIDTH = 100
PRINTED = 20
SHARE = re.compile(r"top\d|accuracy|precision|recall|_f1|roc_auc")
"""The names of facts that are from 0 to 1."""


class Column(NamedTuple):
    """A column of the page: its title, its full name, its texts, the values that sort it, and whether it is text."""

    title: str
    name: str
    texts: Sequence[str]
    values: Sequence[Any]
    is_text: bool


class Line(NamedTuple):
    """A point on the page: its cells, its command, its run, and the page that the run links to; both may be empty."""

    point: int
    cells: Sequence[str]
    command: str
    run: str
    link: str
    winner: bool


def board_columns(sweep: Sweep) -> list[Column]:
    """Return the columns of the leaderboard, without the commands and links."""
    facts, settings = short_names(sweep.facts), short_names(sweep.settings)
    found = [_column(sweep, "rank", "rank"), _column(sweep, "point", "point")]
    for number, (name, title) in enumerate(zip(sweep.facts, facts, strict=True)):
        values = [row[name] for row in sweep.rows]
        found.append(Column(title, name, measures(values), values, any(isinstance(one, str) for one in values)))
        if not number and sweep.seeds > 1:
            ends = [ends_over_seeds(sweep, row) for row in sweep.rows]
            lows = [one[0] if one else None for one in ends]
            found.append(Column("95% interval", "over seeds", [interval_text(one) for one in ends], lows, False))
    if len(sweep.objectives) > 1:
        marks = ["yes" if row["pareto"] else "" for row in sweep.rows]
        found.append(Column("Pareto front", "pareto", marks, [mark or None for mark in marks], True))
    found += [_column(sweep, name, title) for name, title in zip(sweep.settings, settings, strict=True)]
    times = [row["seconds"] for row in sweep.rows]
    found.append(Column("time", "seconds", [_seconds(one) for one in times], times, False))
    states = [_state(row) for row in sweep.rows]
    found.append(Column("status", "status", states, states, True))
    return found


def board_lines(sweep: Sweep, columns: Sequence[Column]) -> list[Line]:
    """Return the rows of the leaderboard, with links to the reports that exist."""
    return [
        Line(
            row["point"],
            [column.texts[number] for column in columns],
            row["command"],
            row["run"] or "",
            report_link(sweep, row["run"] or ""),
            row["point"] == sweep.winner,
        )
        for number, row in enumerate(sweep.rows)
    ]


def report_link(sweep: Sweep, run: str) -> str:
    """Return the link to a run's report relative to the sweep's folder, or an empty text if there is none."""
    link = f"../../{run}/report.html"
    return link if run and (sweep.folder / link).is_file() else ""


def ends_over_seeds(sweep: Sweep, row: Row) -> Interval | None:
    """Return the 95% interval of a point's mean over its seeds; the interval of a share is within 0 and 1."""
    ends = seed_interval(_known_scores(row))
    share = SHARE.search(sweep.objectives[0].name)
    return (max(0.0, ends[0]), min(1.0, ends[1])) if ends and share else ends


def _known_scores(row: Row) -> list[float]:
    return [score for score in row["scores"] or () if score is not None]


def interval_text(ends: Interval | None) -> str:
    """Return an interval as text; an empty text for None."""
    return f"{measure(ends[0])} to {measure(ends[1])}" if ends else ""


def measures(values: Sequence[Any]) -> list[str]:
    """Return a column of facts: numbers with four decimals, or as whole numbers if all are; texts as they are."""
    whole = all(value.is_integer() for value in values if isinstance(value, float))
    return [figure(value) if whole else measure(value) for value in values]


def measure(value: Any) -> str:
    """Return a measured value with four decimals; very small and large ones with four digits, and texts as they are."""
    in_range = isinstance(value, float) and (value == 0 or 0.001 <= abs(value) < 1000)
    return f"{value:z.4f}" if in_range else figure(value)


def figure(value: Any) -> str:
    """Return a value as text: millions as 4.2M, whole numbers with separators, others with four digits."""
    if value is None or isinstance(value, bool):
        return "" if value is None else str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < MILLION:
        return f"{value:z,.0f}"
    if isinstance(value, int | float) and abs(value) >= MILLION:
        return f"{value / MILLION:,.1f}M"
    return plain(value)


def varied(sweep: Sweep, row: Row) -> str:
    """Return the varied settings of a point, such as `head=mlp learning_rate=0.01`."""
    names = zip(short_names(sweep.settings), sweep.settings, strict=True)
    return " ".join(f"{short}={figure(row[name])}" for short, name in names if row[name] is not None)


def printed_table(sweep: Sweep) -> str:
    """Return the best points as a table of at most 100 characters a line."""
    shown = sweep.rows[:PRINTED]
    several, seeds = len(sweep.objectives) > 1, sweep.seeds > 1
    runs = any(row["run"] for row in shown)
    titles = ["rank", *short_names(sweep.facts), *(["± 95%"] if seeds else []), "seconds", "point"]
    facts = zip(*(measures([row[name] for row in shown]) for name in sweep.facts), strict=True)
    lines = []
    for row, (first, *others) in zip(shown, facts, strict=True):
        rank = f"{'*' if several and row['pareto'] else ''}{figure(row['rank'])}"
        numbers = [
            rank,
            first or row["status"],
            *others,
            *([_half(row)] if seeds else []),
        ]
        about = [f"{row['seconds'] or 0:.1f}", str(row["point"]), *([row["run"] or ""] if runs else [])]
        lines.append([*numbers, *about, varied(sweep, row)])
    texts = [*(["run"] if runs else []), "what varied"]
    columns = [*titles, *texts]
    table = text_table(columns, lines, texts=range(len(titles), len(columns)), width=WIDTH)
    more = len(sweep.rows) - len(shown)
    notes = ["* on the Pareto front"] * several + [f"and {more:,} more points"] * bool(more)
    return "\n".join([table, *notes])


def _half(row: Row) -> str:
    """Return half the width of the interval over seeds, as it is shown after a plus-minus sign."""
    ends = seed_interval(_known_scores(row))
    return measure((ends[1] - ends[0]) / 2) if ends else ""


def _column(sweep: Sweep, name: str, title: str) -> Column:
    values = [row[name] for row in sweep.rows]
    return Column(title, name, [figure(value) for value in values], values, any(isinstance(one, str) for one in values))


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:,.1f} s"


def _state(row: Row) -> str:
    """Return a point's status, with the first line of its error."""
    error = (row["error"] or "").strip().partition("\n")[0]
    return f"{row['status']}: {error if len(error) <= 80 else error[:79] + '…'}" if error else str(row["status"])
