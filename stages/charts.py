"""The report's charts, as SVG text, drawn with matplotlib without its window system."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

BLUE, ORANGE, GREY = "#4269d0", "#efb118", "#777777"


def _svg(figure: Figure) -> str:
    """Return a figure as an SVG element; the same figure gives the same text."""
    import matplotlib

    text = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "slimline", "svg.fonttype": "none"}):
        FigureCanvasSVG(figure).print_svg(text, metadata={"Date": None, "Creator": None})  # type: ignore[no-untyped-call]
    whole = text.getvalue()
    return whole[whole.index("<svg") :]


def confusion_chart(matrix: Sequence[Sequence[int]], labels: Sequence[str]) -> str:
    """Draw a confusion matrix: rows true, columns predicted, shaded by the row's share."""
    side = min(12.0, 2.5 + 0.6 * len(labels))
    figure = Figure((side, side * 0.9), layout="constrained")
    axes = figure.add_subplot()
    shares = [[count / max(1, sum(row)) for count in row] for row in matrix]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if len(labels) <= 30:
        for row, counts in enumerate(matrix):
            for column, count in enumerate(counts):
                colour = "white" if shares[row][column] > 0.5 else "#333"
                axes.text(column, row, str(count), ha="center", va="center", color=colour)
    numbers = range(len(labels))
    axes.set_xticks(numbers, labels, rotation=40, ha="right")
    axes.set_yticks(numbers, labels)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    return _svg(figure)


def training_chart(history: Mapping[str, Sequence[Any]]) -> str:
    """Draw loss and accuracy by epoch, training and validation, with a line wherever another phase begins."""
    figure = Figure((8.5, 3.2), layout="constrained")
    for axes, measure in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        axes.plot(history["epoch"], history[measure], color=BLUE, label="training")
        axes.plot(history["epoch"], history[f"validation_{measure}"], color=ORANGE, label="validation")
        for epoch, phase in _phase_starts(history):
            axes.axvline(epoch - 0.5, color=GREY, linewidth=0.8, linestyle="--")
            beside = {"xytext": (2, 0), "textcoords": "offset points", "rotation": 90, "va": "center", "fontsize": 8}
            axes.annotate(phase, (epoch - 0.5, 0.5), xycoords=axes.get_xaxis_transform(), color=GREY, **beside)
        axes.set_xlabel("epoch")
        axes.set_title(measure, loc="left")
        axes.grid(alpha=0.25)
        axes.legend(frameon=False)
    return _svg(figure)


def _phase_starts(history: Mapping[str, Sequence[Any]]) -> list[tuple[int, str]]:
    """Return the first epoch and the name of each phase but the first; a history without phases has one."""
    phases = history.get("phase", [])
    return [(history["epoch"][row], phases[row]) for row in range(1, len(phases)) if phases[row] != phases[row - 1]]


def rate_chart(trials: Mapping[str, Sequence[float]], suggested: float) -> str:
    """Draw the loss by the learning rate, on a logarithmic axis, and mark the rate that is suggested."""
    figure = Figure((6, 3.6), layout="constrained")
    axes = figure.add_subplot()
    axes.semilogx(trials["learning_rate"], trials["loss"], color=BLUE)
    axes.axvline(suggested, color=ORANGE, linestyle="--", label=f"{suggested:.2g}: the loss falls fastest")
    axes.set_xlabel("learning rate")
    axes.set_ylabel("training loss, smoothed")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    return _svg(figure)
