"""The page that compares runs."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import comb
from typing import Any

from slimline.stages.pages.charts import COLOURS, chart, charts_script, line
from slimline.stages.pages.elements import document, table
from slimline.stages.pages.finished_run import FinishedRun

SHOWN = ("top1", "balanced_accuracy", "macro_f1", "roc_auc", "log_loss", "calibration_error", "count")


def compare_page(runs: Sequence[FinishedRun]) -> str:
    """Return the page, which asks for nothing from elsewhere."""
    title = f"{len(runs)} runs compared"
    parts = [
        f"<h1>{title}</h1>",
        "<h2>How good each is</h2>",
        _measures(runs),
        f"<h2>Against {escape(runs[0].name)}, photo by photo</h2>",
        _against_first(runs),
        "<h2>What was set otherwise</h2>",
        _settings(runs),
        "<h2>Training</h2>",
        _training(runs),
        "<h2>Recall of each class</h2>",
        _recalls(runs),
        "<h2>Exported</h2>",
        _formats(runs),
        charts_script(),
    ]
    return document(title, parts)


def _measures(runs: Sequence[FinishedRun]) -> str:
    lines = []
    for run in runs:
        low, high = run.metrics["intervals"]["top1"]
        lines.append(
            [
                run.name,
                *(_number(run.metrics.get(name)) for name in SHOWN),
                f"{low:.1%} to {high:.1%}",
                f"{run.seconds:.1f} s",
            ]
        )
    return table(["run", *(name.replace("_", " ") for name in SHOWN), "top1, 95% interval", "took"], lines)


def _against_first(runs: Sequence[FinishedRun]) -> str:
    """Say how many of the photos that two runs share one names right and the other doesn't, and if that is luck."""
    first, lines = runs[0], []
    for run in runs[1:]:
        shared = first.named.keys() & run.named.keys()
        better = sum(_right(run, key) and not _right(first, key) for key in shared)
        worse = sum(_right(first, key) and not _right(run, key) for key in shared)
        chance = f"{sign_test(better, worse):.3f}" if shared else ""
        lines.append([run.name, f"{len(shared):,}", f"{better:,}", f"{worse:,}", chance])
    said = "<p>The chance that two equally good runs differ as much or more: McNemar's test, exact.</p>"
    return said + table(["run", "photos both have", "right here alone", "right there alone", "chance"], lines)


def _right(run: FinishedRun, key: str) -> bool:
    label, named = run.named[key]
    return label == named


def sign_test(better: int, worse: int) -> float:
    """Return the two-sided chance of a split as uneven or more among `better + worse` coin tosses.

    Source: McNemar 1947, in its exact form.
    """
    tosses = better + worse
    as_uneven: int = sum(comb(tosses, count) for count in range(min(better, worse) + 1))
    return min(1.0, 2 * float(as_uneven / 2**tosses))


def _settings(runs: Sequence[FinishedRun]) -> str:
    names = sorted({name for run in runs for name in run.settings})
    differing = [name for name in names if len({_text(run, name) for run in runs}) > 1]
    if not differing:
        return "<p>Nothing.</p>"
    lines = [[name, *(_text(run, name) for run in runs)] for name in differing]
    return table(["setting", *(run.name for run in runs)], lines, texts=range(len(runs) + 1))


def _text(run: FinishedRun, name: str) -> str:
    return str(run.settings[name]) if name in run.settings else "-"


def _training(runs: Sequence[FinishedRun]) -> str:
    charts = ""
    for measure in ("validation_accuracy", "validation_loss"):
        traces = [
            line(run.name, run.history["epoch"], run.history[measure], COLOURS[number % len(COLOURS)])
            for number, run in enumerate(runs)
            if run.history
        ]
        words = measure.replace("_", " ")
        layout = {"xaxis": {"title": {"text": "epoch"}}, "yaxis": {"title": {"text": words}}}
        charts += chart({"data": traces, "layout": layout}, f"{words} of each run by epoch")
    return f'<div class="two">{charts}</div>'


def _recalls(runs: Sequence[FinishedRun]) -> str:
    labels = list(dict.fromkeys(label for run in runs for label in run.metrics["per_class"]))
    lines = []
    for label in labels:
        found = [run.metrics["per_class"].get(label) for run in runs]
        lines.append([label, *(f"{row['recall']:.1%}" if row else "-" for row in found)])
    return table(["class", *(run.name for run in runs)], lines)


def _formats(runs: Sequence[FinishedRun]) -> str:
    lines = [
        [
            run.name,
            name,
            f"{row['size_mb']:.1f} MB",
            f"{row['top1']:.1%}",
            f"{row['flips']} of {row['checked']:,}",
            f"{1e3 * row['latency_seconds']:.1f} ms",
        ]
        for run in runs
        for name, row in run.formats.items()
    ]
    if not lines:
        return "<p>Nothing.</p>"
    return table(["run", "format", "size", "top-1", "named otherwise", "one photo"], lines, texts=(0, 1))


def _number(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
