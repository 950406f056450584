"""The leaderboard of a sweep: a row for each point, as a table on the terminal and as Parquet."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from slimline.pipeline.sweeping.objectives import Objective
from slimline.pipeline.sweeping.ranking import Scored, mean_fact
from slimline.pipeline.sweeping.space import Space, Values, value_of
from slimline.pipeline.text_table import cut, text_table

BOARD = "leaderboard.parquet"
STORE = "../../../store"
MILLION = 1_000_000
MOST_SHOWN = 20
LONGEST_ERROR = 60


class Board:
    """The ranked points of a sweep, with what each one was and what it gave.

    `command` returns the command that runs a point by itself, from its overrides.
    """

    def __init__(
        self,
        ranked: Sequence[Scored],
        space: Space,
        values: Mapping[int, Values],
        objectives: Sequence[Objective],
        tie: Objective | None,
        columns: Sequence[str],
        runs: Mapping[str, str],
        command: Callable[[Sequence[str]], str],
    ) -> None:
        self.ranked, self.space, self.values = ranked, space, values
        self.objectives, self.tie, self.columns, self.runs = objectives, tie, columns, runs
        self._command = command

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each point, best first: see docs/sweeps.md for the columns."""
        return [self._row(place, one) for place, one in enumerate(self.ranked, 1)]

    def _row(self, place: int, one: Scored) -> dict[str, Any]:
        overrides = self.space.overrides(self.values[one.number])
        names = dict.fromkeys([*(each.name for each in self.objectives), *([self.tie.name] if self.tie else [])])
        return {
            "rank": None if one.score is None else place,
            "point": one.number,
            "status": one.status,
            "score": one.score,
            "spread": one.spread,
            "scores": one.scores,
            **{name: mean_fact(one.outcome, name) for name in names},
            **{name: self._column(one, name) for name in self.columns if name not in names},
            **({"pareto": one.pareto} if len(self.objectives) > 1 else {}),
            "seconds": one.outcome.seconds,
            "error": one.error,
            **{name.lstrip("+"): value_of(text) for name, text in self.values[one.number].items()},
            "overrides": overrides,
            "command": self._command(overrides),
            "artifacts": [f"{STORE}/{seed.artifact}" if seed.artifact else "" for seed in one.outcome.seeds],
            "members": [seed.member for seed in one.outcome.seeds],
            "run": self.runs.get(str(one.number), ""),
        }

    def for_report(self) -> list[dict[str, Any]]:
        """Return the best points as JSON values, for the report of the best point's run."""
        return [
            {
                "overrides": [f"{name}={value}" for name, value in self.values[one.number].items()],
                self.objectives[0].name: one.score,
                **{name: self._column(one, name) for name in self.columns},
                "seconds": one.outcome.seconds,
            }
            for one in self.ranked[:MOST_SHOWN]
        ]

    def _column(self, one: Scored, name: str) -> Any:
        """Return the mean of a numeric fact, or the text of another one."""
        number = mean_fact(one.outcome, name)
        found = next((seed.facts.get(name) for seed in one.outcome.seeds), None)
        if isinstance(found, bool):
            return str(found).lower()
        return number if number is not None or not isinstance(found, str) else found

    def write(self, folder: Path) -> None:
        """Write leaderboard.parquet, atomically."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        rows = self.rows()
        settings = [one.name.lstrip("+") for one in self.space.dimensions]
        columns = (
            {name: pa.array(*_typed(name, [row[name] for row in rows], settings)) for name in rows[0]} if rows else {}
        )
        temporary = folder / f".{BOARD}.{os.getpid()}.tmp"
        pq.write_table(pa.table(columns), temporary)
        os.replace(temporary, folder / BOARD)

    def lines(self) -> str:
        """Format the best points as a table, one line each."""
        titles = [
            "rank",
            *_titles([one.name for one in self.objectives]),
            *_titles([*self.columns]),
            "seconds",
            "point",
        ]
        seeds = any(one.spread is not None for one in self.ranked)
        if seeds:
            titles.insert(2, "+/-")
        if len(self.objectives) > 1:
            titles.insert(1, "front")
        rows = [self._line(place, one, seeds) for place, one in enumerate(self.ranked[:MOST_SHOWN], 1)]
        rest = len(self.ranked) - len(rows)
        table = text_table(titles, rows, texts=(len(titles) - 1,))
        return f"{table}\n... and {rest} more" if rest > 0 else table

    def _line(self, place: int, one: Scored, seeds: bool) -> list[str]:
        name = self.space.describe(self.values[one.number])
        failed = one.score is None
        values = [mean_fact(one.outcome, each.name) for each in self.objectives]
        shown = [one.status if failed and not number else _shown(value) for number, value in enumerate(values)]
        spread = [_shown(one.spread)] if seeds else []
        line = [str(place), shown[0], *spread, *shown[1:], *(_shown(self._column(one, name)) for name in self.columns)]
        if len(self.objectives) > 1:
            line.insert(1, "*" if one.pareto else "")
        reason = one.error.splitlines()[0] if one.error else ""
        return [*line, f"{one.outcome.seconds:.1f}", f"{name}  ({cut(reason, LONGEST_ERROR)})" if reason else name]


def _typed(name: str, values: Sequence[Any], settings: Sequence[str]) -> tuple[list[Any], Any]:
    """Return a column's values and its Arrow type."""
    import pyarrow as pa

    fixed = {
        "rank": pa.int32(),
        "point": pa.int32(),
        "score": pa.float64(),
        "spread": pa.float64(),
        "scores": pa.list_(pa.float64()),
        "seconds": pa.float64(),
        "overrides": pa.list_(pa.string()),
        "artifacts": pa.list_(pa.string()),
        "members": pa.list_(pa.int32()),
        "pareto": pa.bool_(),
    }
    if name in fixed and name not in settings:
        return list(values), fixed[name]
    known = [value for value in values if value is not None]
    if known and all(_is_whole(value) for value in known) and name in settings:
        return list(values), pa.int64()
    if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in known):
        if name in ("status", "error", "command", "run"):
            return list(values), pa.string()
        return [None if value is None else float(value) for value in values], pa.float64()
    return [None if value is None else str(value) for value in values], pa.string()


def _is_whole(value: Any) -> bool:
    """Whether a value is a whole number that fits into 64 bits."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def _titles(names: Sequence[str]) -> list[str]:
    """Remove the stage from each fact's name if the name is unique without it."""
    facts = [name.rpartition(".")[2] for name in names]
    return [fact if facts.count(fact) == 1 else name for name, fact in zip(names, facts, strict=True)]


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, int | float) and abs(value) >= MILLION:
        return f"{value / MILLION:,.1f}M"
    if isinstance(value, float):
        if value.is_integer() and abs(value) > 1:
            return f"{value:,.0f}"
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:z.4f}" if abs(value) >= 0.01 else f"{value:z.3g}"
    return str(value)
