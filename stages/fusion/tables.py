"""Results of the fusions stage: rows of tables, printed and written to files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from slimline.pipeline.artifact import write_json
from slimline.pipeline.text_table import text_table
from slimline.stages.fusion.graph import Graphs, Operation
from slimline.stages.fusion.timing import Timing
from slimline.stages.training.config import Switch

SHOWN = (
    "Conv2d",
    "Conv2D",
    "BatchNorm",
    "MatMul",
    "BiasAdd",
    "Relu",
    "CrossEntropy",
    "Resource",
    "Assign",
    "Cast",
    "Xla",
)
"""Parts of the names of the printed operations, in this order; the files contain all operations."""
AGREES = 1.05
"""A smaller speedup or slowdown than this factor does not contradict the choice of `auto`."""
STATES = ("written", "optimized", "run")
"""States of a graph: as written, as optimized by Grappler, and as run."""


class Comparison(NamedTuple):
    """Row of a switch: milliseconds of the `measured` work with and without it; None if it could not be measured.

    `speedup` is the time without the switch divided by the time with it, by wall clock; `processor_speedup` is the same
    by processor time. `faster` is the fraction of the repetitions that were faster with the switch, by wall clock.
    `auto` is the choice of train's `auto` on this machine; operations without a setting in train have `always` or
    `never`.
    """

    switch: str
    measured: str
    with_ms: float | None
    without_ms: float | None
    speedup: float | None
    processor_speedup: float | None
    faster: float | None
    auto: str
    with_first_seconds: float | None
    without_first_seconds: float | None


def compare(switch: str, measured: str, with_it: Timing | None, without: Timing, auto: str) -> Comparison:
    """Return a switch's row. `with_it` is None if the switch could not be measured; then the row has no times."""
    if with_it is None:
        return Comparison(switch, measured, None, None, None, None, None, auto, None, None)
    pairs = list(zip(with_it.milliseconds, without.milliseconds, strict=True))
    return Comparison(
        switch,
        measured,
        with_ms=with_it.median_ms,
        without_ms=without.median_ms,
        speedup=without.median_ms / with_it.median_ms,
        processor_speedup=median(without.processor_ms) / median(with_it.processor_ms),
        faster=sum(one < other for one, other in pairs) / len(pairs),
        auto=auto,
        with_first_seconds=with_it.first_seconds,
        without_first_seconds=without.first_seconds,
    )


def disagreements(rows: list[Comparison], gpus: int) -> list[str]:
    """Return a note for each switch where `auto` chooses the slower variant, clearly and in every repetition.

    The processor time must agree, unless a GPU does the work.
    """
    return [
        f"{row.switch}: auto chooses {row.auto}, but the switch made {row.measured} {row.speedup:.2f} times as fast."
        for row in rows
        if row.speedup is not None and _contradicted(row, gpus)
    ]


def _contradicted(row: Comparison, gpus: int) -> bool:
    found = [row.speedup or 1, *([] if gpus else [row.processor_speedup or 1])]
    if row.auto == Switch.always.value:
        return max(found) < 1 / AGREES and row.faster == 0
    return min(found) > AGREES and row.faster == 1


def notes_on(rows: list[Comparison], gpus: int) -> list[str]:
    """Return notes on what could not be measured, and where the measurements contradict `auto`."""
    notes = []
    if not gpus:
        notes.append("No GPU was found: mixed_float16, and XLA on a GPU, were not measured.")
    if any(row.switch == "xla" and row.speedup is None for row in rows):
        notes.append("xla was not measured. Set fusions.xla=always to measure it; without a GPU this takes minutes.")
    return notes + disagreements(rows, gpus)


def operation_rows(graphs: Graphs) -> list[dict[str, str | int]]:
    """Return a row per kind of operation, with its number in each graph; the most frequent in `run` comes first."""
    kinds: set[Operation] = set().union(*graphs)
    order = sorted(kinds, key=lambda kind: (-graphs.run[kind], -graphs.optimized[kind], -graphs.written[kind], kind))
    return [
        {
            "operation": kind.name,
            "fused": kind.fused,
            "type": kind.type,
            "written": graphs.written[kind],
            "optimized": graphs.optimized[kind],
            "run": graphs.run[kind],
        }
        for kind in order
    ]


def print_operations(rows: list[dict[str, str | int]], chosen: str) -> None:
    """Print the number of the operations that fusion concerns in each graph; `chosen` describes the step."""
    print(f"\nOperations of a training step, {chosen}: as written, as optimized by Grappler, and as run")
    lines = []
    for place, part in enumerate(SHOWN):
        for row in rows:
            name = str(row["operation"])
            if part in name and not any(earlier in name for earlier in SHOWN[:place]):
                fused = f"[{row['fused']}] " if row["fused"] else ""
                lines.append([f"{name} {fused}{row['type']}", *(f"{row[state]}" for state in STATES)])
    totals = [sum(int(row[state]) for row in rows) for state in STATES]
    lines.append(["all, including those not shown", *(f"{total:,}" for total in totals)])
    print(text_table(["operation", *STATES], lines, texts=(0,)))


def print_comparisons(rows: list[Comparison], repetitions: int, notes: list[str]) -> None:
    """Print one line per switch, then the notes."""
    print(f"\nMilliseconds with and without each fusion: medians of {repetitions} interleaved repetitions.")
    print("CPU speedup: by processor time, which other programs on this machine hardly affect.")
    titles = ("switch", "with", "without", "speedup", "faster in", "CPU speedup", "auto", "measured")
    lines = []
    for row in rows:
        numbers = ["-"] * 5
        if row.faster is not None:
            wins = f"{round(row.faster * repetitions)} of {repetitions}"
            numbers = [
                f"{row.with_ms:,.3f}",
                f"{row.without_ms:,.3f}",
                f"{row.speedup:.2f}",
                wins,
                f"{row.processor_speedup:.2f}",
            ]
        lines.append([row.switch, *numbers, row.auto, row.measured])
    print(text_table(titles, lines, texts=(0, 6, 7)))
    print("\n".join(["", *notes, ""]))


def write_fusions(
    out: Path,
    about: Mapping[str, Any],
    rows: list[Comparison],
    operations: list[dict[str, str | int]],
    notes: list[str],
) -> None:
    """Write both tables as Parquet, and all results as JSON."""
    switches = [row._asdict() for row in rows]
    fields = [(name, pa.string() if name in ("switch", "measured", "auto") else pa.float64()) for name in switches[0]]
    pq.write_table(pa.Table.from_pylist(switches, pa.schema(fields)), out / "switches.parquet")
    pq.write_table(pa.Table.from_pylist(operations), out / "operations.parquet")
    write_json(out / "fusions.json", {**about, "switches": switches, "operations": operations, "notes": notes})
