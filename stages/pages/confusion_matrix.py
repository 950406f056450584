"""The confusion matrix as a table whose numbers, clicked, show their photos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from slimline.stages.pages.charts import as_script
from slimline.stages.pages.elements import table

MOST_CLASSES = 40
MOST_CONFUSIONS = 50

SCRIPT = """
{
  const shown = document.getElementById("cell"), cells = JSON.parse(document.getElementById("cells").textContent);
  document.querySelectorAll(".confusion button").forEach(button => button.addEventListener("click", () => {
    document.querySelectorAll(".confusion button[aria-pressed=true]").forEach(one => one.ariaPressed = "false");
    button.ariaPressed = "true";
    const cell = cells[button.dataset.cell], heading = document.createElement("h3");
    const list = document.createElement("ul");
    list.className = "pictures";
    heading.textContent = button.ariaLabel;
    for (const photo of cell.photos) {
      const item = document.createElement("li"), picture = new Image(), below = document.createElement("small");
      picture.src = photo.picture ?? document.querySelector(`img[data-photo="${photo.key}"]`).src;
      picture.alt = photo.name;
      below.textContent = `${photo.name} (${Math.round(100 * photo.score)}%)`;
      item.append(picture, document.createElement("br"), below);
      list.append(item);
    }
    shown.replaceChildren(heading, list);
    if (cell.more) shown.append(`and ${cell.more} more`);
  }));
}
"""


def confusion_table(
    matrix: Sequence[Sequence[int]], labels: Sequence[str], cells: Mapping[tuple[int, int], Mapping[str, Any]]
) -> str:
    """Lay a confusion matrix out: rows true, columns named.

    `cells` holds for each cell (true, named) its `photos` ({key, name, score}, and `picture` where the page doesn't
    show it elsewhere) and how many `more` there are. Of more than 40 classes the most frequent confusions are listed.
    """
    if len(labels) > MOST_CLASSES:
        return _most_confused(matrix, labels)
    head = "".join(f'<th scope="col">{escape(label)}</th>' for label in labels)
    body = ""
    for true, (label, row) in enumerate(zip(labels, matrix, strict=True)):
        line = "".join(
            _cell(count, count / max(1, sum(row)), label, labels[named], (true, named) in cells, f"{true}-{named}")
            for named, count in enumerate(row)
        )
        body += f'<tr><th scope="row">{escape(label)}</th>{line}</tr>'
    data = {f"{true}-{named}": cell for (true, named), cell in cells.items()}
    return (
        '<div class="wide" tabindex="0" role="region" aria-label="Confusion matrix"><table class="confusion">'
        "<caption>Rows: what a photo shows. Columns: what it was named. A number shows its photos.</caption>"
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        '<div id="cell" aria-live="polite"></div>'
        f'<script type="application/json" id="cells">{as_script(data)}</script><script>{SCRIPT}</script>'
    )


def _cell(count: int, share: float, label: str, named: str, has_photos: bool, key: str) -> str:
    shade = f' style="background:rgb(66 105 208 / {0.5 * share:.2f})"' if count else ""
    if not has_photos:
        return f"<td{shade}>{count:,}</td>"
    words = escape(f"{label} named {named}: {count:,}")
    return f'<td{shade}><button data-cell="{key}" aria-pressed="false" aria-label="{words}">{count:,}</button></td>'


def _most_confused(matrix: Sequence[Sequence[int]], labels: Sequence[str]) -> str:
    wrong = [
        (count, true, named)
        for true, row in enumerate(matrix)
        for named, count in enumerate(row)
        if count and true != named
    ]
    wrong.sort(key=lambda one: (-one[0], one[1:]))
    rows = [[labels[true], labels[named], f"{count:,}"] for count, true, named in wrong[:MOST_CONFUSIONS]]
    return table(["what it shows", "what it was named", "photos"], rows, texts=(0, 1))
