"""Rendering of pages from templates: each page is one file with its style, its scripts and its pictures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from slimline.stages.pages.charts import packed_plotly

TEMPLATES = Path(__file__).parent / "templates"


class Contents:
    """The contents list of a page: its sections, collected while its body is rendered."""

    def __init__(self) -> None:
        self.sections: list[tuple[str, str]] = []

    def add(self, title: str) -> str:
        """Add a section and return its id, which is unique on the page."""
        plain = "-".join(re.findall(r"[a-z0-9]+", title.lower())) or "section"
        taken = {name for name, _ in self.sections}
        name, number = plain, 1
        while name in taken:
            number += 1
            name = f"{plain}-{number}"
        self.sections.append((name, title))
        return name


def render(template: str, **values: Any) -> str:
    """Return a page as text.

    All values are escaped where the template shows them; `{{ value | tojson }}` is safe inside a script element.

    Raises:
        jinja2.UndefinedError: the template uses a value that is not given.
    """
    return _environment().get_template(template).render(contents=Contents(), **values)


def plain(value: Any) -> str:
    """Return a value as text: integers with thousands separators, floats with four digits, never -0."""
    return f"{value:,}" if isinstance(value, int) else f"{value:z.4g}" if isinstance(value, float) else str(value)


def percent(share: float | None) -> str:
    """Return a share as a percentage with one decimal; an empty string for None."""
    return "" if share is None else f"{share:z.1%}"


def decimals(value: float, digits: int = 3) -> str:
    """Return a number with a fixed number of decimals, never -0.000."""
    return f"{value:z,.{digits}f}"


def interval(ends: Sequence[float] | None) -> str:
    """Return a 95% interval of a share, such as `34.2% to 100.0%`; an empty string for None."""
    return f"{percent(ends[0])} to {percent(ends[1])}" if ends else ""


def sentence(text: str) -> str:
    """Return a sentence with its period and a capital letter."""
    return f"{text[:1].upper()}{text[1:]}."


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    made.globals["inline"] = _inline
    made.globals["packed_plotly"] = packed_plotly
    made.filters["plain"] = plain
    made.filters |= {"percent": percent, "decimals": decimals, "interval": interval, "sentence": sentence}
    return made


@cache
def _inline(name: str) -> Markup:
    """Return one of our style sheets or scripts unchanged: Jinja neither parses nor escapes it."""
    return Markup((TEMPLATES / name).read_text(encoding="utf-8"))
