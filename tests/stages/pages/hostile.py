"""A text that tries to become HTML, attributes, scripts or templates, and a parser that shows whether it did."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

HOSTILE = (
    "</script><script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{ 7 * 7 }}{% raw %}&amp;</style><!--\u2028"
)
ELEMENTS = {"html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "h3", "nav", "ul", "li", "a", "b"}
ELEMENTS |= {"section", "p", "br", "div", "small", "table", "caption", "thead", "tbody", "tr", "th", "td", "button"}
ELEMENTS |= {"img", "figure", "details", "summary", "pre", "code", "script", "label", "input"}
ATTRIBUTES = {"lang", "charset", "name", "content", "id", "class", "href", "tabindex", "scope", "src", "alt", "type"}
ATTRIBUTES |= {"data-photo", "data-cell", "data-most-bytes", "role", "style", "accept", "multiple"}
ATTRIBUTES |= {"aria-label", "aria-live", "aria-pressed", "aria-sort", "title"}


class Seen(HTMLParser):
    """The elements of a page with their attributes, its texts, and the content of its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self._in = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._in = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        self._in = ""

    def handle_data(self, data):
        if self._in == "script":
            self.scripts[-1] += data
        else:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return "".join(self.texts)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def json(self) -> list[Any]:
        """Read all JSON that is stored in scripts."""
        kinds = [attributes.get("type") for attributes in self.all("script")]
        return [json.loads(text) for kind, text in zip(kinds, self.scripts, strict=True) if kind == "application/json"]


def harmless(text: str) -> Seen:
    """Check that a page with `HOSTILE` has only our elements and attributes, and that no template ran in it."""
    page = Seen(text)
    assert {tag for tag, _ in page.elements} <= ELEMENTS
    assert {name for _, attributes in page.elements for name in attributes} <= ATTRIBUTES
    assert text.count("</script>") == len(page.all("script"))
    assert text.count("</style>") == 1
    assert HOSTILE in page.text
    assert "<!--" not in text
    return page
