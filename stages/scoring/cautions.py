"""Cautions: why the figures of an evaluation are uncertain or too good, in sentences for the terminal and the pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from slimline.stages.scoring.sample_sizes import (
    LEAST_EVALUATED,
    LEAST_OF_CLASS,
    LEAST_TRAINING_OF_CLASS,
    LEAST_VALIDATION,
    marks,
)

MOST_CLASSES = 6
"""Classes that a sentence names; the others are counted."""


def cautions(metrics: Mapping[str, Any], escape: Callable[[str], str] = str) -> list[str]:
    """Return a sentence, without its period, for each reason to distrust the metrics of an evaluation.

    `escape` is applied to names of classes. Metrics of earlier versions, which lack some facts, have fewer cautions.
    """
    return [*_known_photos(metrics), *_few_photos(metrics, escape), *_calibration(metrics)]


def trained_on(metrics: Mapping[str, Any]) -> str:
    """Say how many of the evaluated photos trained the model, such as `73 of 73`; `not known` if that is so."""
    known = metrics.get("trained_on")
    return f"{known['train']:,} of {metrics['count']:,}" if known else "not known"


def _known_photos(metrics: Mapping[str, Any]) -> Iterator[str]:
    if "trained_on" not in metrics:
        return
    known, count = metrics["trained_on"], metrics["count"]
    lower = "expect a lower accuracy on new photos"
    if known is None:
        yield "It is not known whether these photos trained this model: it has no list of its photos"
    elif known["train"] and known["validation"]:
        yield (
            f"{known['train']:,} of {count:,} photos trained this model, {known['validation']:,} validated it: {lower}"
        )
    elif known["train"]:
        yield f"{known['train']:,} of {count:,} photos trained this model: {lower}"
    elif known["validation"]:
        yield f"{known['validation']:,} of {count:,} photos are this model's validation photos: {lower}"


def _few_photos(metrics: Mapping[str, Any], escape: Callable[[str], str]) -> Iterator[str]:
    few = metrics.get("few_photos")
    if few is None:
        return
    split = split_name(metrics["split"])
    if few["split"]:
        yield f"{metrics['count']:,} {split} photos are few (under {LEAST_EVALUATED}): all figures are uncertain"
    if classes := marks(few, split):
        named = [f"{escape(name)} {counts}" for name, counts in list(classes.items())[:MOST_CLASSES]]
        more = f"; and {len(classes) - MOST_CLASSES:,} more classes" if len(classes) > MOST_CLASSES else ""
        yield (
            f"{'1 class has' if len(classes) == 1 else f'{len(classes):,} classes have'} few photos (under"
            f" {LEAST_OF_CLASS} {split} or {LEAST_TRAINING_OF_CLASS} training): {'; '.join(named)}{more}"
        )


def _calibration(metrics: Mapping[str, Any]) -> Iterator[str]:
    if metrics.get("calibrated") is False:
        yield (
            f"Not calibrated, and no reject threshold: {metrics['validation_photos']:,} validation photos are too few"
            f" (under {LEAST_VALIDATION})"
        )
    elif metrics.get("reject_precision") is not None and metrics["reject_threshold"] is None:
        precision = metrics["reject_precision"]
        yield f"No reject threshold: no score reaches a precision of {precision:.1%} on the validation photos"


def split_name(split: str) -> str:
    """Return the word for a split's photos: `test photos`, but `evaluated photos` where all splits are evaluated."""
    return "evaluated" if split == "all" else "training" if split == "train" else split
