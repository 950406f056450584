"""The charts of a leaderboard: parallel coordinates of settings and objectives, and learning curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import Any, NamedTuple

from slimline.stages.pages.charts import BLUE, COLORS, GRAY, ORANGE, line, plotly_text
from slimline.stages.pages.leaderboard_curves import Curve
from slimline.stages.pages.leaderboard_table import figure
from slimline.stages.pages.sweep_folder import Row, Sweep, short_names

MOST_TICKS, MOST_CHARACTERS = 8, 18
LOGARITHMIC_FROM = 10
"""How many times the smallest number the largest is on a logarithmic axis, at least."""


class Axis(NamedTuple):
    """An axis of parallel coordinates: its title, the place of each point from 0 to 1 (or None), and its ticks."""

    title: str
    places: Sequence[float | None]
    ticks: Sequence[tuple[float, str]]


def parallel_figure(sweep: Sweep) -> dict[str, Any]:
    """Return parallel coordinates: a line for each scored point through its settings and objectives.

    The best tenth is drawn last, over the others; with several objectives, the Pareto front is. A click in the legend
    hides a group.
    """
    names = [*sweep.settings, *(one.name for one in sweep.objectives)]
    rows = sweep.scored
    axes = [
        make_axis(title, [row[name] for row in rows]) for name, title in zip(names, short_names(names), strict=True)
    ]
    traces = []
    for title, stroke, opacity, members in reversed(_groups(sweep, rows)):
        xs: list[int | None] = []
        ys: list[float | None] = []
        texts: list[str] = []
        for number in members:
            xs += [*range(len(axes)), None]
            ys += [*(axis.places[number] for axis in axes), None]
            texts += [f"rank {rows[number]['rank']}: {figure(rows[number][name])}" for name in names] + [""]
        hover = {"text": [plotly_text(text) for text in texts], "hoverinfo": "text", "connectgaps": False}
        traces.append({**line(title, xs, ys, ""), **hover, "opacity": opacity, "line": stroke})
    return {"data": traces, "layout": _parallel_layout(axes)}


def _groups(sweep: Sweep, rows: Sequence[Row]) -> list[tuple[str, dict[str, Any], float, list[int]]]:
    """Return the title, stroke, opacity and points of each group of lines, best first."""
    strokes = [{"color": color, "width": width} for color, width in ((ORANGE, 2.5), (BLUE, 1.3), (GRAY, 1.0))]
    if len(sweep.objectives) > 1:
        front = [number for number, row in enumerate(rows) if row["pareto"]]
        others = [number for number, row in enumerate(rows) if not row["pareto"]]
        groups = [("Pareto front", strokes[0], 0.9, front), ("other points", strokes[1], 0.5, others)]
    else:
        tenth, half = math.ceil(len(rows) / 10), math.ceil(len(rows) / 2)
        groups = [
            (f"best {tenth}" if tenth > 1 else "best", strokes[0], 0.9, list(range(tenth))),
            (f"ranks {tenth + 1} to {half}", strokes[1], 0.6, list(range(tenth, half))),
            (f"ranks {half + 1} to {len(rows)}", strokes[2], 0.5, list(range(max(tenth, half), len(rows)))),
        ]
    return [group for group in groups if group[3]]


def make_axis(title: str, values: Sequence[Any]) -> Axis:
    """Return the axis of a setting or objective: numbers by size, texts evenly spaced in alphabetic order."""
    known = [value for value in values if value is not None]
    if not known or any(isinstance(value, str) for value in known):
        order = sorted({str(value) for value in known})
        places = {value: _between(number, 0, len(order) - 1) for number, value in enumerate(order)}
        step = math.ceil(len(order) / MOST_TICKS) or 1
        ticks = [(places[value], value) for value in order[::step]]
        return Axis(title, [None if value is None else places[str(value)] for value in values], ticks)
    low, high = min(known), max(known)
    logarithmic = _spreads_better_as_logarithms(known)
    scale = math.log if logarithmic else float
    distinct = sorted(set(known))
    if len(distinct) > MOST_TICKS - 2:
        steps = [number / 4 for number in range(5)]
        distinct = [low * (high / low) ** one if logarithmic else low + (high - low) * one for one in steps]
    ends = scale(low), scale(high)
    return Axis(
        title,
        [None if value is None else _between(scale(value), *ends) for value in values],
        [(_between(scale(value), *ends), figure(value)) for value in distinct],
    )


def _spreads_better_as_logarithms(values: Sequence[float]) -> bool:
    """Say whether the median of numbers is nearer to the middle of a logarithmic axis than of a linear one."""
    low, middle, high = min(values), median(values), max(values)
    if low <= 0 or high < LOGARITHMIC_FROM * low:
        return False
    logarithmic = _between(math.log(middle), math.log(low), math.log(high))
    return abs(logarithmic - 0.5) < abs(_between(middle, low, high) - 0.5)


def _between(value: float, low: float, high: float) -> float:
    """Return where a value is between two others, from 0 to 1; the middle if they are equal."""
    return round((value - low) / (high - low), 4) if high > low else 0.5


def _parallel_layout(axes: Sequence[Axis]) -> dict[str, Any]:
    upright = {"type": "line", "y0": 0, "y1": 1, "line": {"color": GRAY, "width": 1}, "layer": "below"}
    note = {"showarrow": False, "xanchor": "left", "xshift": 4, "font": {"size": 11}}
    ticks = [
        {**note, "x": number, "y": place, "text": plotly_text(_short(text))}
        for number, axis in enumerate(axes)
        for place, text in axis.ticks
    ]
    titles = [plotly_text(_short(axis.title)) for axis in axes]
    return {
        "xaxis": {
            "tickvals": list(range(len(axes))),
            "ticktext": titles,
            "range": [-0.1, len(axes) - 0.6],
            "showgrid": False,
            "zeroline": False,
        },
        "yaxis": {"visible": False, "range": [-0.06, 1.06]},
        "shapes": [{**upright, "x0": number, "x1": number} for number in range(len(axes))],
        "annotations": ticks,
        "legend": {"orientation": "h", "y": -0.15, "traceorder": "reversed"},
    }


def _short(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 1]}…"


def curve_figure(curves: Sequence[Curve], measure: str) -> dict[str, Any]:
    """Return the curves of a measure by epoch, one for each point, named by its rank; the best is thicker."""
    traces = [
        {**line(f"rank {one.row['rank']}", one.epochs, one.measures[measure], color), "line": _stroke(color, number)}
        for number, one in enumerate(curves)
        for color in [COLORS[number % len(COLORS)]]
    ]
    return {
        "data": traces,
        "layout": {
            "xaxis": {"title": {"text": "epoch"}},
            "yaxis": {"title": {"text": measure.replace("_", " ")}},
            "legend": {"orientation": "h", "y": -0.3, "yanchor": "top"},  # several lines: below the axis title
        },
    }


def _stroke(color: str, number: int) -> dict[str, Any]:
    return {"color": color, "width": 1.5 if number else 3}
