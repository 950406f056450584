"""The report's page: HTML from what was measured, every text that comes from outside escaped."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --warn: #b35900; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; margin-bottom: .2rem; }
h2 { margin-top: 2.2rem; font-size: 1.2rem; }
.drawn { border: 2px solid var(--warn); padding: .5rem .9rem; border-radius: .5rem; font-weight: 600; }
.numbers { display: flex; flex-wrap: wrap; gap: .8rem; padding: 0; list-style: none; }
.numbers li { background: var(--soft); border-radius: .5rem; padding: .6rem 1rem; }
.numbers b { display: block; font-size: 1.5rem; font-variant-numeric: tabular-nums; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .25rem .8rem; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; }
figure { margin: 1rem 0; overflow-x: auto; }
figure svg { background: #fff; border-radius: .5rem; max-width: 100%; height: auto; }
.mistakes { display: grid; grid-template-columns: repeat(auto-fill, minmax(10rem, 1fr)); gap: 1rem; }
.mistakes { padding: 0; list-style: none; }
.mistakes img { border-radius: .4rem; max-width: 100%; } .mistakes small { overflow-wrap: anywhere; opacity: .75; }
pre { background: var(--soft); padding: .8rem; border-radius: .5rem; overflow-x: auto; font-size: .85rem; }
"""


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>{style}</style></head>
<body>
{body}
</body></html>
"""

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
        _rows({name: data[name] for name in ("origin", "photos", "train", "validation", "test", "quarantined")}),
        "<h2>What ran</h2>",
        _stages(manifest["stages"]),
        _sweep(manifest.get("winner_of")),
        f"<pre>{escape(' '.join(environment['command']))}</pre>",
        f"<details><summary>Configuration</summary><pre>{escape(config_yaml)}</pre></details>",
        f"<details><summary>Environment</summary><pre>{escape(json.dumps(environment, indent=2))}</pre></details>",
    ]
    return PAGE.format(title=escape(title), style=STYLE, body="\n".join(parts))


def _numbers(metrics: Mapping[str, Any]) -> str:
    shown = {
        "top-1": f"{metrics['top1']:.1%}",
        "top-5": f"{metrics['top5']:.1%}",
        "balanced accuracy": f"{metrics['balanced_accuracy']:.1%}",
        "log loss": f"{metrics['log_loss']:.3f}",
        "calibration error": f"{metrics['calibration_error']:.3f}",
    }
    return '<ul class="numbers">' + "".join(f"<li><b>{value}</b>{name}</li>" for name, value in shown.items()) + "</ul>"


def _per_class(classes: Mapping[str, Mapping[str, float]]) -> str:
    rows = [
        [name, f"{row['precision']:.1%}", f"{row['recall']:.1%}", f"{row['f1']:.1%}", f"{row['support']:,}"]
        for name, row in classes.items()
    ]
    return _table(["class", "precision", "recall", "F1", "images"], rows)


def _mistakes(mistakes: Sequence[Mistake]) -> str:
    items = []
    for one in mistakes:
        label, predicted, filename = escape(one.label), escape(one.predicted), escape(one.filename)
        items.append(
            f'<li><img src="{one.picture}" alt="{label} named {predicted}"><br>'
            f"{label}, named <b>{predicted}</b> ({one.score:.0%})<br><small>{filename}</small></li>"
        )
    return f'<ul class="mistakes">{"".join(items)}</ul>' if items else "<p>None.</p>"


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
    return _table(["stage", "", "key", "took"], rows)


def _sweep(rows: Sequence[Mapping[str, Any]] | None) -> str:
    if not rows:
        return ""
    names = [name for name in rows[0] if name != "overrides"]
    cells = [[" ".join(row["overrides"]), *(_cell(row[name]) for name in names)] for row in rows]
    return "<h2>The sweep that this run won</h2>" + _table(["point", *names], cells)


def _rows(values: Mapping[str, Any]) -> str:
    return _table(["", ""], [[name, _cell(value)] for name, value in values.items()])


def _cell(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}" if isinstance(value, float) else str(value)


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
