"""The page of a server: it lists the model's classes, and escapes all texts."""

from __future__ import annotations

from slimline.stages.pages.serve import MOST_SHOWN, serve_page
from tests.stages.pages.hostile import HOSTILE, harmless


def test_hostile_texts_are_safe_wherever_they_are_shown():
    page = harmless(serve_page(HOSTILE, [HOSTILE, "bee"], 5))
    assert page.text.count(HOSTILE) == 2


def test_many_classes_are_counted():
    labels = [f"class {number}" for number in range(MOST_SHOWN + 1_234)]
    text = serve_page("runs/toy", labels, 20_000_000)
    assert f"class {MOST_SHOWN - 1} and 1,234 more." in text
    assert f"class {MOST_SHOWN}" not in text
    assert "and 1,234 more" not in serve_page("runs/toy", labels[:MOST_SHOWN], 5)
    assert 'data-most-bytes="20000000"' in text
