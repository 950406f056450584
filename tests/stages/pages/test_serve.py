"""The page of a server: it lists the model's classes, and escapes all texts."""

from __future__ import annotations

import pytest

from slimline.stages.pages.serve import MOST_SHOWN, serve_page
from tests.browser import needs_browser, opened
from tests.stages.pages.hostile import HOSTILE, harmless


@needs_browser
@pytest.mark.parametrize("label", ["bee", None])
def test_an_unknown_photo_has_its_best_guess_and_the_threshold(label):
    guesses = [{"name": "bee", "score": 0.4821}, {"name": "ant", "score": 0.3}]
    answer = {"label": label, "threshold": 0.6 if label is None else 0.1, "guesses": guesses}
    with opened() as page:
        page.route(
            "http://toy.test/", lambda one: one.fulfill(body=serve_page("toy", ["ant"], 99), content_type="text/html")
        )
        page.route("http://toy.test/classify", lambda one: one.fulfill(json=answer))
        page.goto("http://toy.test/")
        page.set_input_files("#pick", {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": b"x"})
        page.locator(".answer .bar").first.wait_for()
        said = "unknown (best guess: bee, 48.2%, below the threshold 60.0%)"
        assert page.locator(".answer h2").inner_text() == (label or said)
        assert page.locator(".answer .bar").first.inner_text().split() == ["bee", "48.2%"]


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
