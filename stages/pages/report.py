"""The report's page: HTML from what was measured, every text that comes from outside escaped."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

from slimline.stages.pages.charts import chart, charts_script, curves_figure, history_figure, reliability_figure
from slimline.stages.pages.confusion_matrix import confusion_table
from slimline.stages.pages.elements import cell, document, numbers, pictures, rows, table

TOP = re.compile(r"top\d+")
DATA_SHOWN = ("origin", "photos", "train", "validation", "test", "quarantined", "duplicates", "near_twins", "skipped")

DRAWN = """<p class="drawn">The flowers are drawn by the program, not photos:
this shows that the pipeline works, not how well it does on photos.</p>"""

UNTRAINED = """<p class="drawn">The base is untrained: base.weights=random drew it,
so this shows that the pipeline works, not how well it does with a base that has learnt.</p>"""


class Shown(NamedTuple):
    """A photo on the page: its key, its picture as a `data:` address, and what was said of it."""

    key: str
    picture: str
    filename: str
    label: str
    predicted: str
    score: float


class Look(NamedTuple):
    """Where the network looked: a photo, and its picture with what its name rests on lit."""

    photo: Shown
    picture: str


class Report(NamedTuple):
    """All that the page shows.

    `cells` are the confusion matrix's photos, as `confusion_table` wants them, `doubted` the rows of likely label
    errors, `formats` what was measured of each export. `cpu_seconds` is the processor time of this run so far.
    """

    metrics: Mapping[str, Any]
    facts: Mapping[str, Mapping[str, Any]]
    labels: Sequence[str]
    network: str
    trained: bool
    history: Mapping[str, Sequence[Any]]
    curves: Sequence[Mapping[str, Any]]
    cells: Mapping[tuple[int, int], Mapping[str, Any]]
    mistakes: Sequence[Shown]
    uncertain: Sequence[Shown]
    looks: Sequence[Look]
    doubted: Sequence[Mapping[str, Any]]
    formats: Mapping[str, Mapping[str, Any]]
    manifest: Mapping[str, Any]
    cpu_seconds: float
    config_yaml: str
    environment: Mapping[str, Any]


def page(report: Report) -> str:
    """Return the whole page; it asks for nothing from elsewhere."""
    drawn = report.facts["ingest"]["origin"] != "photos"
    metrics = report.metrics
    title = (
        f"{metrics['top1']:.1%} of {metrics['count']:,} {'drawn test flowers' if drawn else 'test photos'} named right"
    )
    wrong = metrics["count"] - sum(row[place] for place, row in enumerate(metrics["confusion_matrix"]))
    parts = [
        f"<h1>{escape(title)}</h1>",
        _made_of(report, drawn),
        DRAWN if drawn else "",
        "" if report.trained else UNTRAINED,
        _numbers(metrics),
        "<h2>Confusion matrix</h2>",
        confusion_table(metrics["confusion_matrix"], report.labels, report.cells),
        "<h2>Classes</h2>",
        _per_class(metrics),
        f"<h2>Most confident mistakes ({len(report.mistakes)} of {wrong:,})</h2>",
        _photos(report.mistakes),
        "<h2>Least certain photos</h2>",
        _photos(report.uncertain),
        "<h2>Where the network looked</h2>",
        _looks(report.looks),
        "<h2>Training</h2>",
        _training(report.history),
        "<h2>Calibration</h2>",
        _calibration(metrics),
        "<h2>Thresholds</h2>",
        _thresholds(report.curves),
        "<h2>Likely label errors</h2>",
        _doubted(report.doubted),
        "<h2>Data</h2>",
        rows({name: report.facts["ingest"][name] for name in DATA_SHOWN}),
        "<h2>Exported</h2>",
        _formats(report.formats),
        "<h2>What ran</h2>",
        _stages(report.manifest["stages"]),
        _sweep(report.manifest.get("winner_of")),
        f'<pre tabindex="0">{escape(" ".join(report.environment["command"]))}</pre>',
        _folded("Configuration", report.config_yaml),
        _folded("Environment", json.dumps(report.environment, indent=2)),
        charts_script(),
    ]
    return document(title, parts)


def _made_of(report: Report, drawn: bool) -> str:
    data, seconds = report.facts["ingest"], sum(row["seconds"] for row in report.manifest["stages"].values())
    kind = "flowers drawn by the program, not photos" if drawn else "photos"
    base = f"{'' if report.trained else 'UNTRAINED '}{report.network}"
    said = (
        f"{data['photos']:,} {kind}, {data['classes']} classes; base {base}, head {report.facts['head']['kind']}."
        f" This run took {seconds:,.1f} s, and {report.cpu_seconds:,.1f} s of processor time, without what was cached."
    )
    return f"<p>{escape(said)}</p>"


def _numbers(metrics: Mapping[str, Any]) -> str:
    low, high = metrics["intervals"]["top1"]
    return numbers(
        {
            "top-1": f"{metrics['top1']:.1%}",
            "its 95% interval": f"{low:.1%} to {high:.1%}",
            **{f"top-{name[3:]}": f"{metrics[name]:.1%}" for name in metrics if TOP.fullmatch(name) and name != "top1"},
            "balanced accuracy": f"{metrics['balanced_accuracy']:.1%}",
            "macro F1": f"{metrics['macro_f1']:.1%}",
            "log loss": f"{metrics['log_loss']:.3f}",
            "calibration error": f"{metrics['calibration_error']:.3f}",
        }
    )


def _per_class(metrics: Mapping[str, Any]) -> str:
    lines = [
        [name, *_shares(row), _share(row["roc_auc"]), _share(row["average_precision"]), f"{row['support']:,}"]
        for name, row in metrics["per_class"].items()
    ]
    areas = [_share(metrics["roc_auc"]), _share(metrics["average_precision"])]
    lines.append(["mean of the classes", *_shares(metrics["macro"]), *areas, ""])
    lines.append(["mean of the photos", *_shares(metrics["weighted"]), "", "", f"{metrics['count']:,}"])
    return table(["class", "precision", "recall", "F1", "ROC area", "average precision", "photos"], lines)


def _shares(row: Mapping[str, float]) -> list[str]:
    return [_share(row[name]) for name in ("precision", "recall", "f1")]


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


def _photos(shown: Sequence[Shown]) -> str:
    items = (
        (
            one.picture,
            f"{one.label} named {one.predicted}",
            f"{escape(one.label)}, named <b>{escape(one.predicted)}</b> ({one.score:.0%})"
            f"<br><small>{escape(one.filename)}</small>",
        )
        for one in shown
    )
    return pictures(items, [one.key for one in shown])


def _looks(looks: Sequence[Look]) -> str:
    if not looks:
        return "<p>Not asked for.</p>"
    said = "<p>Bright is what the name rests on: the score falls when it is covered.</p>"
    return said + pictures(
        (
            look.picture,
            f"what {look.photo.predicted} rests on in {look.photo.filename}",
            f"{escape(look.photo.label)}, named <b>{escape(look.photo.predicted)}</b> ({look.photo.score:.0%})",
        )
        for look in looks
    )


def _training(history: Mapping[str, Sequence[Any]]) -> str:
    last = {name: history[name][-1] for name in ("validation_loss", "validation_accuracy")}
    words = f"by epoch; at the end {last['validation_accuracy']:.1%} of validation, loss {last['validation_loss']:.3f}"
    charts = (chart(history_figure(history, name), f"{name} {words}") for name in ("accuracy", "loss"))
    return f'<div class="two">{"".join(charts)}</div>'


def _calibration(metrics: Mapping[str, Any]) -> str:
    before = metrics["uncalibrated"]["log_loss"]
    said = (
        f"Logits are divided by {metrics['temperature']:.3g}, as fits the validation photos: the log loss is"
        f" {metrics['log_loss']:.3f} for {before:.3f} without."
    )
    if (threshold := metrics["reject_threshold"]) is not None:
        precision = metrics["accepted_precision"]
        said += f" Below a score of {threshold:.3f} nothing is named: {metrics['accepted']:.1%} of these photos are"
        said += f", {precision:.1%} of them right." if precision is not None else "."
    figure = reliability_figure(metrics["calibration"])
    return f"<p>{escape(said)}</p>" + chart(figure, "how often the model is right, by how sure it is")


def _thresholds(curves: Sequence[Mapping[str, Any]]) -> str:
    roc = curves_figure(curves, "roc", ("false positive rate", "true positive rate"))
    precision = curves_figure(curves, "precision_recall", ("recall", "precision"))
    both = chart(precision, "precision by recall of each class"), chart(roc, "ROC curve of each class")
    return f'<div class="two">{"".join(both)}</div>'


def _doubted(found: Sequence[Mapping[str, Any]]) -> str:
    if not found:
        return "<p>None were found, or nothing looked for them.</p>"
    lines = [[row["path"], row["label"], row["named"], f"{row['score']:.0%}", row["split"]] for row in found]
    said = "<p>What the other photos say of these; all, with pictures, are in review/dataset.html.</p>"
    return said + table(["photo", "labelled", "looks like", "score", "split"], lines, texts=(0, 1, 2, 4))


def _formats(formats: Mapping[str, Mapping[str, Any]]) -> str:
    lines = [
        [
            name,
            row["file"],
            f"{row['size_mb']:.1f} MB",
            f"{row['top1']:.1%}",
            f"{row['flips']} of {row['checked']:,}",
            f"{1e3 * row['latency_seconds']:.1f} ms",
            f"{1e3 * row['latency_p95_seconds']:.1f} ms",
            f"{row['images_per_second']:.0f}",
        ]
        for name, row in formats.items()
    ]
    names = ["format", "file", "size", "top-1", "named otherwise", "one photo", "95% of them", "photos a second"]
    return table(names, lines, texts=(0, 1))


def _stages(stages: Mapping[str, Mapping[str, Any]]) -> str:
    lines = [
        [name, "cached" if entry["cached"] else "ran", entry.get("key", "")[:12], f"{entry['seconds']:.1f} s"]
        for name, entry in stages.items()
    ]
    return table(["stage", "state", "key", "took"], lines, texts=(0, 1))


def _sweep(points: Sequence[Mapping[str, Any]] | None) -> str:
    if not points:
        return ""
    names = [name for name in points[0] if name != "overrides"]
    cells = [[" ".join(row["overrides"]), *(cell(row[name]) for name in names)] for row in points]
    return "<h2>The sweep that this run won</h2>" + table(["point", *names], cells)


def _folded(name: str, text: str) -> str:
    return f'<details><summary>{escape(name)}</summary><pre tabindex="0">{escape(text)}</pre></details>'
