"""The data set's page: all there is to say, nothing that a file's name could smuggle in, and never large."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from slimline.stages.data.checking.survey import Survey
from slimline.stages.data.splitting.config import SPLITS
from slimline.stages.data.splitting.selection import Selection
from slimline.stages.pages.dataset import IMBALANCE, LABEL_ERRORS, MOST_PICTURES, MOST_ROWS, PAGE, write_page
from tests.stages.data.surveys import photos_of, select, stored, survey_of

EVIL = "<script>alert(1)</script>"
QUOTES = "\"'><img src=x onerror=alert(1)>\n&amp;"
SECTIONS = (
    "Classes",
    "Sizes",
    "Some of each class",
    "Quarantined",
    "Photos that look the same",
    "There twice",
    "Not meant as photos",
    "Made anew",
)
ALLOWED = {
    "html",
    "head",
    "meta",
    "title",
    "style",
    "body",
    "main",
    "h1",
    "h2",
    "h3",
    "p",
    "div",
    "small",
    "b",
    "br",
    "img",
}
ALLOWED |= {"table", "thead", "tbody", "tr", "th", "td", "ul", "li"}


class Page(HTMLParser):
    """What a browser would see of a page: elements with their attributes, and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def sources(self) -> list[str | None]:
        return [attributes["src"] for tag, attributes in self.elements if tag == "img"]


def jpeg(number: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(number).integers(0, 256, (24, 32, 3), dtype=np.uint8)).save(file, "JPEG")
    return file.getvalue()


def page_of(survey: Survey, selection: Selection, out: Path, **more) -> tuple[str, Page]:
    counts = selection.counts()
    facts = {
        "origin": "photos",
        "photos": counts["used"],
        **{split: len(selection.used(number)) for number, split in enumerate(SPLITS)},
        "quarantined": counts["quarantined"],
        "duplicates": counts["duplicate"],
        "near_twins": counts["near_twin"],
        "skipped": counts["skipped"],
        "passed_over": {},
        "split_by": "hash",
        **more,
    }
    write_page(out, survey, selection, facts)
    text = (out / PAGE).read_text(encoding="utf-8")
    return text, Page(text)


def pictured(label: str, count: int, start: int = 0) -> list[dict]:
    return [{"label": label, "encoded": jpeg(start + number)} for number in range(count)]


@pytest.fixture
def hostile(tmp_path) -> Survey:
    """Labels, names, reasons, notes, formats and groups that are HTML; something for every section."""
    rows = [*pictured(f"ant{EVIL}", 12), *pictured(f'bee" onload={QUOTES[:8]}', 12, 50)]
    for number, row in enumerate(rows):
        row |= {"path": f"{number}{EVIL}{QUOTES}.jpg".encode(), "note": f"named {EVIL}", "format": EVIL}
    for row in rows[:4]:
        row["phash"] = 77
    rows[13]["phash"] = 77
    more = [
        {**rows[0]},
        {**rows[1], "label": rows[12]["label"]},
        {"label": EVIL, "reason": f"{EVIL}{QUOTES}", "encoded": b"", "path": f"x{QUOTES}".encode()},
        {"label": "n", "skipped": True, "reason": f"named {EVIL}", "path": f"y{EVIL}".encode()},
    ]
    more[2]["label"] = rows[0]["label"]
    return stored([*rows, *more], tmp_path)


def test_whatever_names_hold_is_shown_as_text(hostile, tmp_path):
    text, page = page_of(hostile, select(hostile), tmp_path, passed_over={EVIL: 3}, split_by=EVIL)
    assert {tag for tag, _ in page.elements} <= ALLOWED
    names = {name for _, attributes in page.elements for name in attributes}
    assert names <= {"lang", "charset", "name", "content", "class", "src", "alt", "scope", "tabindex"}
    assert "<script" not in text.lower()
    for section, count in (("Quarantined", 3), ("There twice", 1), ("Not meant as photos", 2), ("Made anew", 1)):
        [body] = re.findall(rf"<h2>{section}</h2>(.*?)(?:<h2>|</body>)", text, re.DOTALL)
        assert body.count("<tr><td") == count, section
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in body, section
    assert page.text.count(EVIL) > 40


def test_every_section_is_there_and_the_place_for_label_errors(hostile, tmp_path):
    text, page = page_of(hostile, select(hostile), tmp_path)
    assert re.findall(r"<h2>(.*?)</h2>", text) == list(SECTIONS)
    assert text.count(LABEL_ERRORS) == 1
    assert "two labels (shown first)" in page.text
    twins = text.partition("Photos that look the same")[2]
    assert re.findall(r"<b>(ant|bee)", twins)[:4] == ["ant", "bee"] * 2
    empty = stored([*pictured("ant", 5), *pictured("bee", 5, 50)], tmp_path)
    text, page = page_of(empty, select(empty), tmp_path)
    assert re.findall(r"<h2>(.*?)</h2>", text) == list(SECTIONS)
    assert page.text.count("None") >= 5


def test_a_name_that_is_the_place_for_label_errors_is_not_taken_for_it(tmp_path):
    survey = stored([*pictured(f"a{LABEL_ERRORS}", 5), *pictured("bee", 5, 50)], tmp_path)
    text, _ = page_of(survey, select(survey), tmp_path)
    assert text.count(LABEL_ERRORS) == 1


def test_nothing_is_fetched_from_elsewhere(hostile, tmp_path):
    text, page = page_of(hostile, select(hostile), tmp_path)
    assert len(page.sources()) > 20
    assert all(source and re.fullmatch(r"data:image/jpeg;base64,[A-Za-z0-9+/=]+", source) for source in page.sources())
    assert not re.search(r"https?://|\bhref\b|url\(|@import", text)


@pytest.mark.parametrize(("more", "warned"), [(0, True), (1, False)])
def test_ten_times_as_many_photos_of_one_class_are_warned_of(tmp_path, more, warned):
    survey = survey_of([*photos_of("ant<", 4 * IMBALANCE), *photos_of("bee", 4 + more)])
    _, page = page_of(survey, select(survey), tmp_path)
    assert ("ant< has 10 times as many photos as bee" in page.text) == warned


def test_drawn_flowers_are_said_to_be_drawn(tmp_path):
    survey = survey_of([*photos_of("ant", 5), *photos_of("bee", 5)])
    text, page = page_of(survey, select(survey), tmp_path, origin="drawn flowers")
    assert '<p class="drawn">The flowers are drawn by the program, not photos.</p>' in text
    assert "10 drawn flowers of 2 classes" in page.text


def test_many_classes_and_many_that_are_left_out_keep_the_page_small(tmp_path):
    encoded = jpeg(0)
    (tmp_path / "photo.jpg").write_bytes(encoded)
    place = {"file": str(tmp_path / "photo.jpg").encode(), "size": len(encoded)}
    rows = [row for label in range(500) for row in photos_of(f"class {label:03d}", 6, **place)]
    rows += photos_of("class 007", 5000, reason="can't be decoded: truncated or damaged", note="n" * 50, **place)
    for row in rows[:240:6]:
        row["phash"] = 99
    for number, row in enumerate(rows[3000:]):
        row |= {"content": f"bad {number}", "note": f"note {number}"}
    survey = survey_of(rows)
    text, page = page_of(survey, select(survey), tmp_path)
    assert len(text) < 1_500_000
    assert page.text.count("class 499") >= 1
    assert f"And {500 - MOST_PICTURES:,} classes more." in page.text
    assert f"And {5000 - MOST_ROWS:,} more, in index.parquet." in page.text
    assert page.text.count("can't be decoded") == MOST_ROWS


@pytest.mark.parametrize("damage", [lambda e: e[:200], lambda e: e[:30] + bytes(400), lambda e: b"\xff\xd8\xff"])
def test_damaged_photos_are_listed_if_not_shown(tmp_path, damage):
    bad = [{"label": "ant", "encoded": damage(jpeg(number)), "reason": "damaged"} for number in range(4)]
    survey = stored([*pictured("ant", 5), *pictured("bee", 5, 50), *bad], tmp_path)
    _, page = page_of(survey, select(survey), tmp_path)
    assert page.text.count("damaged") == 4


def test_whatever_the_reader_raises_on_a_damaged_photo_the_page_is_written(tmp_path, monkeypatch):
    from slimline.stages.pages import dataset as dataset_page

    def raises(encoded, side_px):
        raise IndexError("from deep inside a reader")

    monkeypatch.setattr(dataset_page, "thumbnail", raises)
    survey = stored([*pictured("ant", 5), *pictured("bee", 5, 50)], tmp_path)
    _, page = page_of(survey, select(survey), tmp_path)
    assert page.sources() == []
