"""The report's page: HTML from what was measured, every text that comes from outside escaped."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

from stages.html import cell, document, numbers, pictures, rows, table

TOP = re.compile(r"top\d+")
DATA_SHOWN = ("origin", "photos", "train", "validation", "test", "quarantined", "duplicates", "near_twins", "skipped")

DRAWN = """<p class="drawn">The flowers are drawn by the program, not photos:
this shows that the pipeline works, not how well it does on photos.</p>"""

UNTRAINED = """<p class="drawn">The base is untrained: base.weights=random drew it,
so this shows that the pipeline works, not how well it does with a base that has learnt.</p>"""


class Mistake(NamedTuple):
    """A photo that the model named wrong: its picture as a `data:` address, and what was said of it."""

    picture: str
    filename: str
    label: str
    predicted: str
    score: float


def page(
    *,
    drawn: bool,
    untrained: bool,
    metrics: Mapping[str, Any],
    facts: Mapping[str, Mapping[str, Any]],
    network: str,
    charts: Mapping[str, str],
    mistakes: Sequence[Mistake],
    total_mistakes: int,
    manifest: Mapping[str, Any],
    config_yaml: str,
    environment: Mapping[str, Any],
) -> str:
    """Return the whole page; it asks for nothing from elsewhere."""
    kind = "flowers drawn by the program, not photos" if drawn else "photos"
    data = facts["ingest"]
    what = "drawn test flowers" if drawn else "test photos"
    title = f"{metrics['top1']:.1%} of {metrics['count']:,} {what} named right"
    base = f"{'UNTRAINED ' if untrained else ''}{network}"
    made_of = f"{data['photos']:,} {kind}, {data['classes']} classes; base {base}, head {facts['head']['kind']}."
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{escape(made_of)}</p>",
        DRAWN if drawn else "",
        UNTRAINED if untrained else "",
        _numbers(metrics),
        *(f"<h2>{escape(name)}</h2><figure>{svg}</figure>" for name, svg in charts.items()),
        "<h2>Classes</h2>",
        _per_class(metrics["per_class"]),
        f"<h2>Most confident mistakes ({len(mistakes)} of {total_mistakes})</h2>",
        _mistakes(mistakes),
        "<h2>Data</h2>",
        rows({name: data[name] for name in DATA_SHOWN}),
        "<h2>What ran</h2>",
        _stages(manifest["stages"]),
        _sweep(manifest.get("winner_of")),
        f"<pre>{escape(' '.join(environment['command']))}</pre>",
        f"<details><summary>Configuration</summary><pre>{escape(config_yaml)}</pre></details>",
        f"<details><summary>Environment</summary><pre>{escape(json.dumps(environment, indent=2))}</pre></details>",
    ]
    return document(title, parts)


def _numbers(metrics: Mapping[str, Any]) -> str:
    low, high = metrics["intervals"]["top1"]
    tops = {f"top-{name[3:]}": f"{metrics[name]:.1%}" for name in metrics if TOP.fullmatch(name)}
    return numbers(
        {
            "top-1, 95% interval": f"{low:.1%} to {high:.1%}",
            **tops,
            "balanced accuracy": f"{metrics['balanced_accuracy']:.1%}",
            "macro F1": f"{metrics['macro_f1']:.1%}",
            "log loss": f"{metrics['log_loss']:.3f}",
            "calibration error": f"{metrics['calibration_error']:.3f}",
        }
    )


def _per_class(classes: Mapping[str, Mapping[str, float]]) -> str:
    rows = [
        [name, f"{row['precision']:.1%}", f"{row['recall']:.1%}", f"{row['f1']:.1%}", f"{row['support']:,}"]
        for name, row in classes.items()
    ]
    return table(["class", "precision", "recall", "F1", "images"], rows)


def _mistakes(mistakes: Sequence[Mistake]) -> str:
    return pictures(
        (
            one.picture,
            f"{one.label} named {one.predicted}",
            f"{escape(one.label)}, named <b>{escape(one.predicted)}</b> ({one.score:.0%})"
            f"<br><small>{escape(one.filename)}</small>",
        )
        for one in mistakes
    )


def _stages(stages: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [
        [
            name,
            "cached" if entry["cached"] else "ran",
            entry.get("key", "")[:12],
            f"{entry['seconds']:.1f} s",
        ]
        for name, entry in stages.items()
    ]
    return table(["stage", "", "key", "took"], rows)


def _sweep(rows: Sequence[Mapping[str, Any]] | None) -> str:
    if not rows:
        return ""
    names = [name for name in rows[0] if name != "overrides"]
    cells = [[" ".join(row["overrides"]), *(cell(row[name]) for name in names)] for row in rows]
    return "<h2>The sweep that this run won</h2>" + table(["point", *names], cells)
