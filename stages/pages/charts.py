"""Figures for Plotly, as plain data, and Plotly's own script, packed so that a page can hold it."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from math import log10
from typing import Any

BLUE, ORANGE, GREY = "#4269d0", "#c77700", "#888888"
COLOURS = (BLUE, ORANGE, "#2f8f5b", "#c0392b", "#8e5bb5", "#0f8b8d", "#a05a2c", "#d6559a", "#6b7a1f", "#5a6b7b")


def packed_plotly() -> str:
    """Return Plotly's own script, gzipped, as Base64: 2.0 MB instead of 4.8."""
    source = files("plotly").joinpath("package_data/plotly.min.js").read_bytes()
    return base64.b64encode(gzip.compress(source, 6, mtime=0)).decode()


def history_figure(history: Mapping[str, Sequence[Any]], measure: str) -> dict[str, Any]:
    """Draw a measure by epoch, training and validation, with a line wherever another phase begins."""
    epochs = history["epoch"]
    phases = history.get("phase", [])
    starts = [(epochs[row], phases[row]) for row in range(1, len(phases)) if phases[row] != phases[row - 1]]
    mark = {"type": "line", "yref": "paper", "y0": 0, "y1": 1, "line": {"dash": "dash", "color": GREY, "width": 1}}
    note = {"yref": "paper", "y": 1, "showarrow": False, "xanchor": "left", "font": {"color": GREY}}
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
    """Draw how often the model is right by how sure it says it is; on the dashed line it means what it says."""
    sure, right = [row["confidence"] for row in bins], [row["accuracy"] for row in bins]
    counts = [f"{row['count']:,} photos" for row in bins]
    shown = {"mode": "lines+markers", "marker": {"size": 8}, "text": counts}
    return {
        "data": [
            {**line("as sure as it is right", [0, 1], [0, 1], GREY), "line": {"dash": "dash", "color": GREY}},
            {**line("this model", sure, right, BLUE), **shown},
        ],
        "layout": {
            "xaxis": {"title": {"text": "how sure it is"}, "range": [0, 1.02]},
            "yaxis": {"title": {"text": "how often it is right"}, "range": [0, 1.02]},
        },
    }


def curves_figure(rows: Sequence[Mapping[str, Any]], kind: str, names: tuple[str, str]) -> dict[str, Any]:
    """Draw the curves of a kind, one a class; a click in the legend hides one."""
    classes = list(dict.fromkeys(row["class"] for row in rows))
    traces = []
    for number, label in enumerate(classes):
        points = [row for row in rows if row["class"] == label and row["curve"] == kind]
        xs, ys = [round(row["x"], 4) for row in points], [round(row["y"], 4) for row in points]
        traces.append(line(label, xs, ys, COLOURS[number % len(COLOURS)]))
    return {
        "data": traces,
        "layout": {
            "xaxis": {"title": {"text": names[0]}, "range": [-0.01, 1.01]},
            "yaxis": {"title": {"text": names[1]}, "range": [-0.01, 1.02]},
        },
    }


def rate_figure(rates: Sequence[float], losses: Sequence[float], suggested: float) -> dict[str, Any]:
    """Draw the loss of a learning-rate test by the rate, on a logarithmic axis, and mark the rate it suggests."""
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
            ],  # in a logarithmic axis' units
        },
    }


def line(name: str, xs: Sequence[Any], ys: Sequence[Any], colour: str) -> dict[str, Any]:
    """Return a line through points."""
    drawn = {"color": colour}
    return {"type": "scatter", "mode": "lines", "name": plotly_text(name), "x": list(xs), "y": list(ys), "line": drawn}


def plotly_text(text: str) -> str:
    """Return a text so that Plotly shows it as it is: by itself Plotly takes `<b>` and a few more for formatting."""
    return escape(text)
