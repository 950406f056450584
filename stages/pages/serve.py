"""The page of a server: it takes photos, and shows their classes, scores and occlusion maps."""

from __future__ import annotations

from collections.abc import Sequence

from slimline.stages.pages.render import render

MOST_SHOWN = 12


def serve_page(about: str, labels: Sequence[str], most_bytes: int) -> str:
    """Return the page, which contacts only its own server.

    `about` names the model; the page refuses photos of more than `most_bytes`.
    """
    return render(
        "serve.html",
        title="Slimline",
        about=about,
        labels=labels[:MOST_SHOWN],
        more=max(0, len(labels) - MOST_SHOWN),
        most_bytes=most_bytes,
    )
