"""Charts as SVG text, drawn with matplotlib without its window system."""

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
