"""Interactive charts inside one file: Plotly's own script, packed, and what draws figures when they are looked at."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

BLUE, ORANGE, GREY = "#4269d0", "#c77700", "#888888"
COLOURS = (BLUE, ORANGE, "#2f8f5b", "#c0392b", "#8e5bb5", "#0f8b8d", "#a05a2c", "#d6559a", "#6b7a1f", "#5a6b7b")

BOOT = """
(async () => {
  const charts = [...document.querySelectorAll(".chart")];
  const packed = Uint8Array.from(atob(document.getElementById("plotly").textContent), one => one.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  function draw(chart) {
    const figure = JSON.parse(chart.parentElement.querySelector("script").textContent);
    const colour = getComputedStyle(document.body).color;
    const axis = {gridcolor: "#8884", zerolinecolor: "#8888"};
    const layout = {paper_bgcolor: "transparent", plot_bgcolor: "transparent", font: {color: colour, size: 13},
      margin: {l: 56, r: 12, t: 12, b: 48}, legend: {orientation: "h", y: -0.25}, hovermode: "closest",
      ...figure.layout};
    for (const name of ["xaxis", "yaxis"]) layout[name] = {...axis, automargin: true, ...layout[name]};
    Plotly.react(chart, figure.data, layout, {displayModeBar: false, responsive: true});
    chart.dataset.drawn = "1";
  }
  const seen = new IntersectionObserver(entries => entries.filter(one => one.isIntersecting).forEach(one => {
    seen.unobserve(one.target);
    draw(one.target);
  }), {rootMargin: "300px"});
  charts.forEach(chart => seen.observe(chart));
  dark.addEventListener("change", () => charts.filter(chart => chart.dataset.drawn).forEach(draw));
  addEventListener("beforeprint", () => charts.filter(chart => !chart.dataset.drawn).forEach(draw));
})();
"""


def charts_script() -> str:
    """Return what must be in a page once, behind its charts: 2.0 MB, for Plotly as it comes has 4.8."""
    source = files("plotly").joinpath("package_data/plotly.min.js").read_bytes()
    packed = base64.b64encode(gzip.compress(source, 6, mtime=0)).decode()
    return f'<script type="text/plain" id="plotly">{packed}</script>\n<script>{BOOT}</script>'


def chart(figure: Mapping[str, Any], words: str, height_px: int = 340) -> str:
    """Return a chart's place in a page; `words` say what it shows to who doesn't see it."""
    return (
        f'<figure><div class="chart" role="img" aria-label="{escape(words)}" style="height:{height_px}px"></div>'
        f'<script type="application/json">{as_script(figure)}</script></figure>'
    )


def as_script(value: Any) -> str:
    """Write a value as JSON that may stand inside a script element, whatever texts are in it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


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
            "annotations": [{**note, "x": epoch - 0.5, "text": escape(name)} for epoch, name in starts],
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


def line(name: str, xs: Sequence[Any], ys: Sequence[Any], colour: str) -> dict[str, Any]:
    """Return a line; Plotly reads names as HTML of a few elements, so they are escaped."""
    drawn = {"color": colour}
    return {"type": "scatter", "mode": "lines", "name": escape(name), "x": list(xs), "y": list(ys), "line": drawn}
