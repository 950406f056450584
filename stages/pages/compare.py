"""The page that compares runs: their metrics, their differences, and how likely those are chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import comb
from pathlib import Path
from typing import Any

from slimline.pipeline.artifact import Facts, write_text
from slimline.stages.pages.charts import COLORS, line
from slimline.stages.pages.finished_run import FinishedRun, read_run
from slimline.stages.pages.render import decimals, interval, percent, render, sentence
from slimline.stages.pages.tables import Table
from slimline.stages.scoring.cautions import cautions, trained_on
from slimline.stages.scoring.intervals import wilson_interval

PAGE = "compare.html"
SHOWN = ("top1", "balanced_accuracy", "macro_f1", "roc_auc", "log_loss", "calibration_error", "count")
CURVES = ("validation_accuracy", "validation_loss")


def write_comparison(folders: Sequence[str], out: Path) -> Facts:
    """Write `compare.html` for the runs in some folders.

    Returns:
        The facts of the `compare` stage.
    """
    runs = [read_run(Path(folder).expanduser()) for folder in folders]
    write_text(out / PAGE, compare_page(runs))
    best = max(runs, key=lambda run: float(run.metrics["top1"]))
    return {
        "runs": len(runs),
        "best": best.name,
        "best_top1": best.metrics["top1"],
        "headline": f"compared  {{path}}/{PAGE}",
    }


def compare_page(runs: Sequence[FinishedRun]) -> str:
    """Return the page, which loads nothing from other hosts."""
    return render(
        PAGE,
        title=f"{len(runs)} runs compared",
        first=runs[0].name,
        cautions=caution_table(runs),
        measures=measure_table(runs),
        against_first=against_first(runs),
        settings=setting_table(runs),
        training={name.replace("_", " "): training_figure(runs, name) for name in CURVES},
        recalls=recall_table(runs),
        formats=format_table(runs),
    )


def measure_table(runs: Sequence[FinishedRun]) -> Table:
    """Return the metrics of each run."""
    lines = []
    for run in runs:
        figures = [_number(run.metrics.get(name)) for name in SHOWN]
        ends = _interval(run.metrics["top1"], run.metrics["count"])
        lines.append([run.name, *figures, ends, trained_on(run.metrics), f"{run.seconds:.1f} s"])
    names = [name.replace("_", " ") for name in SHOWN]
    return Table(["run", *names, "top1, 95% interval", "trained on", "time"], lines)


def _interval(share: float, count: int) -> str:
    """Return the interval of an accuracy, computed here: runs of earlier versions have it by the bootstrap."""
    return interval(wilson_interval(round(share * count), count)) if count else ""


def caution_table(runs: Sequence[FinishedRun]) -> Table:
    """Return why the metrics of runs are uncertain or too good."""
    lines = [[run.name, sentence(one)] for run in runs for one in cautions(run.metrics)]
    return Table(["run", "caution"], lines, texts=(0, 1))


def against_first(runs: Sequence[FinishedRun]) -> Table:
    """Return how many shared photos only one of two runs classifies correctly, with the p-value of the sign test."""
    first, lines = runs[0], []
    for run in runs[1:]:
        shared = first.predictions.keys() & run.predictions.keys()
        better = sum(_right(run, key) and not _right(first, key) for key in shared)
        worse = sum(_right(first, key) and not _right(run, key) for key in shared)
        p_value = f"{sign_test(better, worse):.3f}" if shared else ""
        lines.append([run.name, f"{len(shared):,}", f"{better:,}", f"{worse:,}", p_value])
    return Table(["run", "shared photos", "only this run correct", "only first run correct", "p-value"], lines)


def _right(run: FinishedRun, key: str) -> bool:
    label, predicted = run.predictions[key]
    return label == predicted


def sign_test(better: int, worse: int) -> float:
    """Return the two-sided p-value of the sign test: a split at least as uneven among `better + worse` coin tosses.

    Source: McNemar 1947, in its exact form.
    """
    tosses = better + worse
    as_uneven: int = sum(comb(tosses, count) for count in range(min(better, worse) + 1))
    return min(1.0, 2 * float(as_uneven / 2**tosses))


def setting_table(runs: Sequence[FinishedRun]) -> Table:
    """Return the settings that differ between the runs."""
    names = sorted({name for run in runs for name in run.settings})
    differing = [name for name in names if len({_text(run, name) for run in runs}) > 1]
    lines = [[name, *(_text(run, name) for run in runs)] for name in differing]
    return Table(["setting", *(run.name for run in runs)], lines, texts=range(len(runs) + 1))


def _text(run: FinishedRun, name: str) -> str:
    return str(run.settings[name]) if name in run.settings else "-"


def training_figure(runs: Sequence[FinishedRun], measure: str) -> dict[str, Any]:
    """Return the curves of a measure by epoch, one for each run that trained."""
    traces = [
        line(run.name, run.history["epoch"], run.history[measure], COLORS[number % len(COLORS)])
        for number, run in enumerate(runs)
        if run.history
    ]
    layout = {"xaxis": {"title": {"text": "epoch"}}, "yaxis": {"title": {"text": measure.replace("_", " ")}}}
    return {"data": traces, "layout": layout}


def recall_table(runs: Sequence[FinishedRun]) -> Table:
    """Return the recall of each class in each run, with its 95% interval."""
    labels = list(dict.fromkeys(label for run in runs for label in run.metrics["per_class"]))
    lines = []
    for label in labels:
        found = [run.metrics["per_class"].get(label) for run in runs]
        lines.append([label, *(_recall(row) if row else "-" for row in found)])
    return Table(["class", *(run.name for run in runs)], lines)


def _recall(row: Mapping[str, Any]) -> str:
    """Return a class's recall with its interval; a class without photos has neither."""
    support = row["support"]
    return f"{percent(row['recall'])} ({_interval(row['recall'], support)})" if support else "no photos"


def format_table(runs: Sequence[FinishedRun]) -> Table:
    """Return the measurements of each run's exported formats."""
    lines = [
        [
            run.name,
            name,
            f"{row['size_mb']:.1f} MB",
            percent(row["top1"]),
            f"{row['changed']} of {row['checked']:,}",
            f"{1e3 * row['latency_seconds']:.1f} ms",
        ]
        for run in runs
        for name, row in run.formats.items()
    ]
    return Table(["run", "format", "size", "top-1", "changed", "latency"], lines, texts=(0, 1))


def _number(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else decimals(value, 4)
