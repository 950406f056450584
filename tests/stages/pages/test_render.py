"""The shared layout and macros: one self-contained file, in which no given text becomes HTML or script."""

from __future__ import annotations

import re
import tomllib
from html import unescape
from pathlib import Path

import pytest
from jinja2 import Environment, UndefinedError

from slimline.stages.pages import render as rendering
from slimline.stages.pages.charts import packed_plotly
from slimline.stages.pages.render import TEMPLATES, Contents, decimals, interval, percent, plain, render
from tests.stages.pages.hostile import HOSTILE, Seen, harmless

PAGE = """
{% extends "layout.html" %}
{% import "macros.html" as m with context %}
{% block body %}
{% call m.section(nasty) %}
{{ m.notice(nasty) }}
{{ m.numbers({nasty: nasty}) }}
{{ m.table([nasty, "count", ""], [[nasty, "1", nasty]], texts=(0, 2)) }}
{{ m.values({nasty: nasty, "many": 1234567, "share": 0.123456}) }}
{% call(item) m.pictures([{"picture": nasty, "words": nasty, "key": nasty}]) %}<b>{{ item.words }}</b>{% endcall %}
{{ m.folded(nasty, nasty) }}
{{ m.chart({nasty: [1, nasty]}, nasty, 200) }}
{% endcall %}
{% for title in more %}
{% call m.section(title) %}{% call(item) m.pictures([]) %}{% endcall %}{% endcall %}
{% endfor %}
{% endblock %}
{% block scripts %}{% if charts is defined %}{{ m.charts_script() }}{% endif %}{% endblock %}
"""


@pytest.fixture
def page_of(tmp_path, monkeypatch):
    """Return a function that renders a template, given as text, on the shared layout."""
    made: Environment = rendering._environment()

    def rendered(text: str, **values) -> str:
        monkeypatch.setattr(made.loader, "searchpath", [*made.loader.searchpath, str(tmp_path)])
        (tmp_path / "a_page.html").write_text(text, encoding="utf-8")
        return render("a_page.html", **values)

    yield rendered
    made.cache.clear()


def test_no_text_becomes_html_an_attribute_or_a_script(page_of):
    text = page_of(PAGE, title=HOSTILE, nasty=HOSTILE, more=["b", "c"])
    page = harmless(text)
    [image] = page.all("img")
    assert (image["src"], image["alt"], image["data-photo"]) == (HOSTILE, HOSTILE, HOSTILE)
    [figure] = [attributes for attributes in page.all("div") if attributes["class"] == "chart"]
    assert figure["aria-label"] == HOSTILE
    assert page.text.count(HOSTILE) == 15


def test_json_in_a_script_is_read_back_unchanged(page_of):
    text = page_of(PAGE, title="a", nasty=HOSTILE, more=[])
    page = Seen(text)
    assert page.json() == [{HOSTILE: [1, HOSTILE]}]
    assert not set("<>&'\u2028") & set(page.scripts[0])


def test_values_that_are_not_valid_json_are_an_error(page_of):
    with pytest.raises(ValueError, match="JSON"):
        page_of(PAGE.replace("[1, nasty]", "nan"), title="a", nasty="", more=[], nan=float("nan"))


def test_numbers_are_right_aligned_and_texts_left_aligned(page_of):
    text = page_of(PAGE, title="a", nasty="n", more=[])
    assert '<thead><tr><th scope="col" class="text">n</th><th scope="col">count</th><td></td></tr></thead>' in text
    assert '<tr><td class="text">n</td><td>1</td><td class="text">n</td></tr>' in text
    assert '<tr><td class="text">many</td><td>1,234,567</td></tr>' in text
    assert '<tr><td class="text">share</td><td>0.1235</td></tr>' in text


def test_the_contents_list_links_to_each_section(page_of):
    titles = ["Classes", "Classes", "Größe & <b>", "日本"]
    text = page_of(PAGE, title="a", nasty="Numbers", more=titles)
    page = Seen(text)
    ids = [attributes["id"] for attributes in page.all("section")]
    assert ids == ["numbers", "classes", "classes-2", "gr-e-b", "section"]
    assert [attributes["href"] for attributes in page.all("a")] == [f"#{name}" for name in ids]
    headings = re.findall(r"<h2>(.*?)</h2>", text)
    assert re.findall(r"<a href=.*?>(.*?)</a>", text) == headings
    assert [unescape(one) for one in headings] == ["Numbers", *titles]
    assert text.index("<h1>") < text.index("<nav") < text.index("<section")
    assert text.count("<p>None.</p>") == len(titles)


def test_a_page_of_two_sections_has_no_contents_list(page_of):
    assert "<nav" not in page_of(PAGE, title="a", nasty="Numbers", more=["Classes"])


def test_a_page_loads_nothing_from_other_hosts(page_of):
    text = page_of(PAGE, title="a", nasty="n", more=["b", "c"])
    assert not re.search(r"https?:|url\(|@import|<link|<script src", text)
    assert ".pictures {" in text


def test_plotly_is_embedded_once_and_does_not_end_its_script_element(page_of):
    text = page_of(PAGE, title="a", nasty="n", more=[], charts=True)
    assert text.count(packed_plotly()) == 1
    scripts = Seen(text).all("script")
    assert [script.get("type") for script in scripts] == ["application/json", "text/plain", None]
    assert text.count("</script>") == len(scripts)


def test_a_missing_value_is_an_error(page_of):
    with pytest.raises(UndefinedError, match="'more' is undefined"):
        page_of(PAGE, title="a", nasty="n")


def test_section_ids_are_unique():
    contents = Contents()
    assert [contents.add(title) for title in ("A b", "a-B", "a b 2", "A b")] == ["a-b", "a-b-2", "a-b-2-2", "a-b-3"]


@pytest.mark.parametrize(
    ("value", "text"), [(1234, "1,234"), (0.000012345, "1.234e-05"), ("<b>", "<b>"), (None, "None")]
)
def test_values_are_plain_texts(value, text):
    assert plain(value) == text


def test_an_undefined_share_is_empty():
    assert (percent(0.12345), percent(None)) == ("12.3%", "")


def test_no_number_is_a_negative_zero():
    assert [plain(-0.0), percent(-0.0001), decimals(-0.0004), decimals(-0.0)] == ["0", "0.0%", "0.000", "0.000"]
    assert [plain(-0.5), percent(-0.5), decimals(-0.5, 1)] == ["-0.5", "-50.0%", "-0.5"]


def test_an_interval_is_shown_in_percent():
    assert (interval((0.3424, 1.0)), interval(None)) == ("34.2% to 100.0%", "")


def test_every_template_is_in_the_package_data():
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["slimline.stages.pages"]
    found = [path for path in TEMPLATES.iterdir() if path.is_file()]
    assert len(found) > 5
    assert [path.name for path in found if not any(path.match(pattern) for pattern in patterns)] == []


@pytest.mark.parametrize("path", [*TEMPLATES.glob("*.css"), *TEMPLATES.glob("*.js")], ids=lambda path: path.name)
def test_inlined_files_end_no_element_and_load_nothing(path):
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"</|<!--|https?:|url\(|@import", text)
