"""What the fusions command found, as rows, on the terminal and in files."""

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
"""Parts of the names of the operations that are printed, in this order; the files have all."""
AGREES = 1.05
"""By less than this factor a measurement doesn't contradict what `auto` chooses."""
STATES = ("written", "optimised", "run")
"""What of a graph is counted: as written, as optimised by Grappler, and as run."""


class Comparison(NamedTuple):
    """A switch's row: milliseconds of what is `measured`, with and without; None where it couldn't be tried.

    `speedup` is how many times as fast it is with the switch, by the clock, `processor_speedup` by the time that the
    processor spent on it, and `faster` in what part of the repetitions the clock showed less. `auto` is what train's
    `auto` chooses here; what has no switch in train is `always` or `never` there.
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
    """Make a switch's row, of nothing but its name and what `auto` chooses where it couldn't be tried."""
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
    """Say where `auto` chooses what was slower, by more than a little and in every repetition.

    The processor's time must say so too, unless a GPU does the work.
    """
    return [
        f"{row.switch}: auto chooses {row.auto}; with it {row.measured} was {row.speedup:.2f} times as fast."
        for row in rows
        if row.speedup is not None and _contradicted(row, gpus)
    ]


def _contradicted(row: Comparison, gpus: int) -> bool:
    found = [row.speedup or 1, *([] if gpus else [row.processor_speedup or 1])]
    if row.auto == Switch.always.value:
        return max(found) < 1 / AGREES and row.faster == 0
    return min(found) > AGREES and row.faster == 1


def notes_on(rows: list[Comparison], gpus: int) -> list[str]:
    """Say what couldn't be tried, and where `auto` is contradicted."""
    notes = []
    if not gpus:
        notes.append("There is no GPU here: mixed_float16, and XLA for a GPU, could not be tried.")
    if any(row.switch == "xla" and row.speedup is None for row in rows):
        notes.append("xla was not tried; fusions.xla=always tries it, which takes minutes without a GPU.")
    return notes + disagreements(rows, gpus)


def operation_rows(graphs: Graphs) -> list[dict[str, str | int]]:
    """List each kind of operation with its number in each graph, the most frequent as run first."""
    kinds: set[Operation] = set().union(*graphs)
    order = sorted(kinds, key=lambda kind: (-graphs.run[kind], -graphs.optimised[kind], -graphs.written[kind], kind))
    return [
        {
            "operation": kind.name,
            "fused": kind.fused,
            "type": kind.type,
            "written": graphs.written[kind],
            "optimised": graphs.optimised[kind],
            "run": graphs.run[kind],
        }
        for kind in order
    ]


def print_operations(rows: list[dict[str, str | int]], chosen: str) -> None:
    """Print how often the operations that fusing is about stand in each graph of the step that was `chosen`."""
    print(f"\nOperations of a training step, {chosen}: as written, as optimised by Grappler, and as run")
    lines = []
    for place, part in enumerate(SHOWN):
        for row in rows:
            name = str(row["operation"])
            if part in name and not any(earlier in name for earlier in SHOWN[:place]):
                fused = f"[{row['fused']}] " if row["fused"] else ""
                lines.append([f"{name} {fused}{row['type']}", *(f"{row[state]}" for state in STATES)])
    totals = [sum(int(row[state]) for row in rows) for state in STATES]
    lines.append(["all, with those not shown", *(f"{total:,}" for total in totals)])
    print(text_table(["operation", *STATES], lines, texts=(0,)))


def print_comparisons(rows: list[Comparison], repetitions: int, notes: list[str]) -> None:
    """Print a line a switch, then the notes; `by processor` is times as fast by the processor's time."""
    print(f"\nMilliseconds with each fusion and without: medians of {repetitions}, taken in turns.")
    print("By processor: times as fast by processor time, which other programs on this machine hardly disturb.")
    titles = ("switch", "with", "without", "times as fast", "faster in", "by processor", "auto", "of")
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
    """Write both tables as Parquet, and all of it as JSON."""
    switches = [row._asdict() for row in rows]
    fields = [(name, pa.string() if name in ("switch", "measured", "auto") else pa.float64()) for name in switches[0]]
    pq.write_table(pa.Table.from_pylist(switches, pa.schema(fields)), out / "switches.parquet")
    pq.write_table(pa.Table.from_pylist(operations), out / "operations.parquet")
    write_json(out / "fusions.json", {**about, "switches": switches, "operations": operations, "notes": notes})
