"""Figures for Plotly, as plain data, and Plotly's own script, compressed to be embedded in a page."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Mapping, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from math import log10
from typing import Any

BLUE, ORANGE, GRAY = "#4269d0", "#c77700", "#888888"
COLORS = (BLUE, ORANGE, "#2f8f5b", "#c0392b", "#8e5bb5", "#0f8b8d", "#a05a2c", "#d6559a", "#6b7a1f", "#5a6b7b")


@cache
def packed_plotly() -> str:
    """Return Plotly's own script, gzipped, as Base64: 2.0 MB instead of 4.8 MB."""
    source = files("plotly").joinpath("package_data/plotly.min.js").read_bytes()
    return base64.b64encode(gzip.compress(source, 6, mtime=0)).decode()


def history_figure(history: Mapping[str, Sequence[Any]], measure: str) -> dict[str, Any]:
    """Return the curves of a measure by epoch, for training and validation, with a line at the start of each phase."""
    epochs = history["epoch"]
    phases = history.get("phase", [])
    starts = [(epochs[row], phases[row]) for row in range(1, len(phases)) if phases[row] != phases[row - 1]]
    mark = {"type": "line", "yref": "paper", "y0": 0, "y1": 1, "line": {"dash": "dash", "color": GRAY, "width": 1}}
    note = {"yref": "paper", "y": 1, "showarrow": False, "xanchor": "left", "font": {"color": GRAY}}
    return {
        "data": [
            line("training", epochs, history[measure], BLUE),
            line("validation", epochs, history[f"validation_{measure}"], ORANGE),
        ],
        "layout": {
            "xaxis": {"title": {"text": "epoch"}},
            "yaxis": {"title": {"text": measure}},
            "shapes": [{**mark, "x0": epoch - 0.5, "x1": epoch - 0.5} for epoch, _ in starts],
            "annotations": [{**note, "x": epoch - 0.5, "text": plotly_text(name)} for epoch, name in starts],
        },
    }


def reliability_figure(bins: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Return the reliability diagram: accuracy by confidence; the dashed line is perfect calibration."""
    sure, right = [row["confidence"] for row in bins], [row["accuracy"] for row in bins]
    counts = [f"{row['count']:,} photos" for row in bins]
    shown = {"mode": "lines+markers", "marker": {"size": 8}, "text": counts}
    return {
        "data": [
            {**line("perfect calibration", [0, 1], [0, 1], GRAY), "line": {"dash": "dash", "color": GRAY}},
            {**line("this model", sure, right, BLUE), **shown},
        ],
        "layout": {
            "xaxis": {"title": {"text": "confidence"}, "range": [0, 1.02]},
            "yaxis": {"title": {"text": "accuracy"}, "range": [0, 1.02]},
        },
    }


def curves_figure(rows: Sequence[Mapping[str, Any]], kind: str, names: tuple[str, str]) -> dict[str, Any]:
    """Return the curves of a kind, one per class; a click in the legend hides a curve."""
    classes = list(dict.fromkeys(row["class"] for row in rows))
    traces = []
    for number, label in enumerate(classes):
        points = [row for row in rows if row["class"] == label and row["curve"] == kind]
        xs, ys = [round(row["x"], 4) for row in points], [round(row["y"], 4) for row in points]
        traces.append(line(label, xs, ys, COLORS[number % len(COLORS)]))
    return {
        "data": traces,
        "layout": {
            "xaxis": {"title": {"text": names[0]}, "range": [-0.01, 1.01]},
            "yaxis": {"title": {"text": names[1]}, "range": [-0.01, 1.02]},
        },
    }


def rate_figure(rates: Sequence[float], losses: Sequence[float], suggested: float) -> dict[str, Any]:
    """Return the loss curve of a learning-rate range test, on a logarithmic axis, with the suggested rate marked."""
    mark = {"type": "line", "yref": "paper", "y0": 0, "y1": 1, "line": {"dash": "dash", "color": ORANGE, "width": 1.5}}
    note = {"yref": "paper", "y": 1, "showarrow": False, "xanchor": "left", "font": {"color": ORANGE}}
    return {
        "data": [line("training loss, smoothed", rates, losses, BLUE)],
        "layout": {
            "xaxis": {"title": {"text": "learning rate"}, "type": "log", "dtick": 1, "exponentformat": "power"},
            "yaxis": {"title": {"text": "training loss, smoothed"}},
            "shapes": [{**mark, "x0": suggested, "x1": suggested}],
            "annotations": [
                {**note, "x": log10(suggested), "text": f"{suggested:.2g}"}
            ],  # positions on a logarithmic axis are exponents
        },
    }


def line(name: str, xs: Sequence[Any], ys: Sequence[Any], color: str) -> dict[str, Any]:
    """Return the trace of a line through points."""
    drawn = {"color": color}
    return {"type": "scatter", "mode": "lines", "name": plotly_text(name), "x": list(xs), "y": list(ys), "line": drawn}


def plotly_text(text: str) -> str:
    """Return an escaped text, which Plotly shows literally; otherwise it would interpret tags such as `<b>`."""
    return escape(text)
