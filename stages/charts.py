"""The report's charts, as SVG text, drawn with matplotlib without its window system."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

BLUE, ORANGE = "#4269d0", "#efb118"


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


def training_chart(history: Mapping[str, Sequence[float]]) -> str:
    """Draw loss and accuracy by epoch, training and validation."""
    figure = Figure((8.5, 3.2), layout="constrained")
    for axes, measure in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        axes.plot(history["epoch"], history[measure], color=BLUE, label="training")
        axes.plot(history["epoch"], history[f"validation_{measure}"], color=ORANGE, label="validation")
        axes.set_xlabel("epoch")
        axes.set_title(measure, loc="left")
        axes.grid(alpha=0.25)
        axes.legend(frameon=False)
    return _svg(figure)
