"""Pages that open from disk and ask for nothing: what they look like, and tables; all text is escaped here."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from html import escape
from typing import Any

STYLE = """
:root { color-scheme: light dark; background: Canvas; color: CanvasText; }
:root { --line: #8884; --soft: #8882; --warn: #b35900; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; margin-bottom: .2rem; }
h2 { margin-top: 2.2rem; font-size: 1.2rem; }
.drawn { border: 2px solid var(--warn); padding: .5rem .9rem; border-radius: .5rem; font-weight: 600; }
.numbers { display: flex; flex-wrap: wrap; gap: .8rem; padding: 0; list-style: none; }
.numbers li { background: var(--soft); border-radius: .5rem; padding: .6rem 1rem; }
.numbers b { display: block; font-size: 1.5rem; font-variant-numeric: tabular-nums; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .25rem .8rem; border-bottom: 1px solid var(--line); }
.text { text-align: left; }
.wide { overflow-x: auto; }
td { overflow-wrap: anywhere; } td.text { min-width: 7rem; } td:not(.text) { white-space: nowrap; }
figure { margin: 1rem 0; overflow-x: auto; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(10rem, 1fr)); gap: 1rem; }
.pictures { padding: 0; list-style: none; }
.pictures img { border-radius: .4rem; max-width: 100%; } .pictures small { overflow-wrap: anywhere; opacity: .75; }
.chart { width: 100%; }
.two { display: grid; grid-template-columns: repeat(auto-fit, minmax(20rem, 1fr)); gap: 1rem; }
.confusion td { text-align: center; padding: 0; } .confusion th { font-weight: 500; }
.confusion button { font: inherit; color: inherit; background: none; border: 0; width: 100%; padding: .35rem .8rem; }
.confusion button { cursor: pointer; text-decoration: underline dotted; }
.confusion button[aria-pressed=true] { outline: 2px solid; outline-offset: -2px; }
caption { text-align: left; padding-bottom: .4rem; opacity: .85; }
@media print { body { margin: 0; max-width: none; } details { display: none; } .pictures li { break-inside: avoid; } }
pre { background: var(--soft); padding: .8rem; border-radius: .5rem; overflow-x: auto; font-size: .85rem; }
"""


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>{style}</style></head>
<body>
<main>
{body}
</main>
</body></html>
"""


def document(title: str, parts: Iterable[str]) -> str:
    """Return a page of HTML parts."""
    return PAGE.format(title=escape(title), style=STYLE, body="\n".join(parts))


def table(names: Sequence[str], rows: Iterable[Sequence[str]], texts: Collection[int] = (0,)) -> str:
    """Lay texts out as a table; the columns of numbers `texts` start at the left, the others end at the right."""
    kinds = [' class="text"' if number in texts else "" for number in range(len(names))]
    head = "".join(
        f'<th scope="col"{kind}>{escape(name)}</th>' if name else "<td></td>"
        for kind, name in zip(kinds, names, strict=True)
    )
    lines = ("".join(f"<td{kind}>{escape(cell)}</td>" for kind, cell in zip(kinds, row, strict=True)) for row in rows)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    top = f"<thead><tr>{head}</tr></thead>" if any(names) else ""
    return f'<div class="wide" tabindex="0"><table>{top}<tbody>{body}</tbody></table></div>'


def rows(values: Mapping[str, Any]) -> str:
    """Lay named values out, one a row."""
    return table(["", ""], [[name, cell(value)] for name, value in values.items()])


def cell(value: Any) -> str:
    """Write a value for a table."""
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}" if isinstance(value, float) else str(value)


def numbers(values: Mapping[str, str]) -> str:
    """Show a few numbers large, each over its name."""
    items = "".join(f"<li><b>{escape(value)}</b>{escape(name)}</li>" for name, value in values.items())
    return f'<ul class="numbers">{items}</ul>'


def pictures(items: Iterable[tuple[str, str, str]], keys: Sequence[str] = ()) -> str:
    """Show pictures in a grid: each a `data:` address, what it shows in words, and the HTML below it.

    With `keys` each has a name of its own, by which a script finds it.
    """
    named = [f' data-photo="{key}"' for key in keys]
    listed = [
        f'<li><img{named[place] if named else ""} src="{address}" alt="{escape(words)}"><br>{below}</li>'
        for place, (address, words, below) in enumerate(items)
    ]
    return f'<ul class="pictures">{"".join(listed)}</ul>' if listed else "<p>None.</p>"
