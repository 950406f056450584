"""A real headless Chromium, if it is installed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def needs_browser(test: Any) -> Any:
    """Mark a test that opens a browser: it belongs to the release tier, and is skipped if no browser is installed."""
    return pytest.mark.release(pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")(test))


@contextmanager
def opened(**settings: Any) -> Iterator[Any]:
    """Open a page. `page.said` collects errors and warnings of its console and scripts, `page.asked` its requests."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(**settings)
        page.said, page.asked = [], []
        page.on("console", lambda one: page.said.append(one.text) if one.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: page.said.append(str(error)))
        page.on("request", lambda one: page.asked.append(one.url))
        yield page
        browser.close()


def accessibility_faults(page: Any) -> list[str]:
    """Return the accessibility violations that axe-core finds in the current state of a page."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [f"{one['id']} ({one['impact']}): {one['nodes'][0]['html'][:200]}" for one in found]
