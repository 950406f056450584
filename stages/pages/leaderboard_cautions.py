"""Why the order of a leaderboard is uncertain, or its best value too good: sentences for the page and the terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq

from slimline.stages.pages.leaderboard_table import ends_over_seeds, interval_text, measure
from slimline.stages.pages.sweep_folder import Sweep
from slimline.stages.scoring.intervals import wilson_interval

TESTED = ("evaluate", "export", "crossval")
"""The stages that measure on test photos."""

SPLIT = "ingest.split."

COSTS = ("size", "latency", "seconds", "per_second", "temperature", "count")
"""Parts of the names of their facts that do not depend on which photos are tested."""

ACCURACIES = ("train.validation_top1",)
"""Facts that are the share of validation photos that are classified correctly."""


def choice_caution(sweep: Sweep) -> str:
    """Return a sentence if the test photos helped to choose, or an empty text."""
    decided = [*sweep.objectives, *([sweep.tie] if sweep.tie else [])]
    tested = [
        one.name
        for one in decided
        if one.name.partition(".")[0] in TESTED and not any(cost in one.name for cost in COSTS)
    ]
    if not tested or "evaluate.split=validation" in sweep.fixed:
        return ""
    return (
        f"{' and '.join(tested)} decided, which is measured on test photos: the test photos were used to choose. "
        "Expect a lower value on new photos, and choose by a validation fact, such as train.validation_top1."
    )


def doubts(sweep: Sweep) -> list[str]:
    """Return sentences that say how well the best points can be told apart."""
    if not sweep.scored:
        return []
    return [*_other_photos(sweep), *_ties(sweep), *_noise(sweep), *_optimism(sweep)]


def _other_photos(sweep: Sweep) -> Iterator[str]:
    """Yield a sentence if points were scored on different photos."""
    split = [name for name in sweep.settings if name.startswith(SPLIT)]
    if split:
        advice = "; +experiment=crossval tests each photo once" if SPLIT + "fold" in split else ""
        yield (
            f"{' and '.join(split)} varies, so the points have different validation photos: the best one may have the "
            f"easiest photos{advice}."
        )


def _ties(sweep: Sweep) -> Iterator[str]:
    best = sweep.scored[0]["score"]
    equal = sum(row["score"] == best for row in sweep.scored)
    if equal > 1:
        names = sweep.tie.name if sweep.tie else "the order of the points"
        yield f"{equal:,} points share the best value, {measure(best)}; {names} decides between them."


def _noise(sweep: Sweep) -> Iterator[str]:
    best, name = sweep.scored[0], sweep.objectives[0].name
    if ends := ends_over_seeds(sweep, best):
        inside = _inside(sweep, ends)
        yield (
            f"The mean of the best point over {sweep.seeds} seeds has a 95% interval of "
            f"{interval_text(ends)}. {inside} in it: the seeds alone do not tell them from the best."
        )
    elif len(sweep.scored) > 1:
        yield "Each point has one seed, so that the chance in training is not measured: run.sweep.seeds=3 measures it."
    photos = validation_photos(sweep) if name in ACCURACIES else None
    if photos and 0 <= best["score"] <= 1:
        ends = wilson_interval(round(best["score"] * photos), photos)
        yield (
            f"On {photos:,} validation photos, the best {name} has a 95% interval of {interval_text(ends)}. "
            f"{_inside(sweep, ends)} in it: with this many photos, they may be as good as the best."
        )


def _inside(sweep: Sweep, ends: tuple[float, float]) -> str:
    others = sweep.scored[1:]
    count = sum(ends[0] <= row["score"] <= ends[1] for row in others)
    return f"{count:,} of the {len(others):,} other points {'is' if count == 1 else 'are'}"


def _optimism(sweep: Sweep) -> Iterator[str]:
    if len(sweep.scored) > 1:
        yield (
            f"The best of {len(sweep.scored):,} points is chosen for its value, so this value is optimistic. "
            "The report of a full run measures its model on test photos."
        )


def validation_photos(sweep: Sweep) -> int | None:
    """Return the number of validation photos of the best point, from its artifact or a full run; None if not known."""
    paths = [sweep.folder / one / "validation.parquet" for one in sweep.scored[0]["artifacts"] or () if one]
    for path in paths:
        if path.is_file() and "member" not in pq.read_schema(path).names:
            return int(pq.read_metadata(path).num_rows)
    for run in sweep.runs.values():
        if (found := _of_run(sweep.folder / ".." / ".." / run / "manifest.json")) is not None:
            return found
    return None


def _of_run(manifest: Path) -> int | None:
    """Return the number of validation photos that a run's manifest records."""
    if not manifest.is_file():
        return None
    stages = json.loads(manifest.read_text(encoding="utf-8"))["stages"]
    found = stages.get("ingest", {}).get("facts", {}).get("validation")
    return int(found) if found is not None else None
