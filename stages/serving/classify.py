"""Classification of photos: results are printed and written to files."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from slimline.pipeline.artifact import Artifact, Facts
from slimline.pipeline.errors import UserError
from slimline.stages.imagenet.class_names import full_names
from slimline.stages.models.formats import find_model
from slimline.stages.models.opened import open_base
from slimline.stages.models.opened_export import open_model
from slimline.stages.serving.answers import FAILURES, Answers, printable
from slimline.stages.serving.classified import Classified, classified_photos
from slimline.stages.serving.classify_config import ClassifyConfig
from slimline.stages.serving.left_out import LeftOut

log = logging.getLogger(__name__)

UNKNOWN = "unknown"


def classify_photos(config: ClassifyConfig, out: Path, base: Artifact | None) -> Facts:
    """Classify by the base's ImageNet layer or by a trained model; print the results and write files into `out`.

    Photos that could not be used are in the fact `failures`, and all others are kept.

    Raises:
        UserError: no photo could be used.
    """
    model = (
        open_base(base.path, config.batch_size)
        if base
        else open_model(find_model(str(config.model), "classify.model"), config.batch_size)
    )
    if not model.trained:
        log.warning("classify: this model has an UNTRAINED base (base.weights=random)")
    names = full_names(model.labels) if config.full_names and base else model.labels
    threshold = model.threshold if config.threshold is None else config.threshold
    classified, unknown, left_out = 0, 0, LeftOut()
    with Answers(out, config.write) as answers:
        for photo in classified_photos(
            model, map(Path, config.images), names, threshold=threshold, top=config.top, batch_size=config.batch_size
        ):
            answers.add(photo)
            if not photo.skipped and classified + left_out.count < config.shown:
                print("\n".join(_lines(photo)))
            if photo.guesses:
                classified += 1
                unknown += photo.unknown
            else:
                left_out.add(photo)
    more = classified + left_out.count - config.shown
    print(f"\nand {more:,} more" if more > 0 else "")
    if not classified:
        raise UserError(left_out.reasons(0, out / FAILURES), left_out.line(0))
    written = [f"scores    {{path}}/predictions.{one.value}" for one in config.write[:1]]
    line = left_out.line(classified)
    return {
        "images": classified,
        "left_out": left_out.count,
        "unknown": unknown,
        "threshold": threshold,
        **({"headline": "\n".join((*([line] if line else []), *written))} if line or written else {}),
        **({"failures": [left_out.reasons(classified, out / FAILURES)]} if left_out.count else {}),
    }


def _lines(photo: Classified) -> Iterator[str]:
    """Yield the lines that the terminal shows for a photo."""
    yield f"\n{printable(photo.path)}"
    if photo.reason:
        yield f"not classified: {photo.reason}"
    if photo.unknown:
        name, score = photo.guesses[0]
        yield f"{UNKNOWN}: the best guess, {name}, scores {score:.5f}, below the threshold {photo.threshold:.5f}"
    yield from (f"{name} (score = {score:.5f})" for name, score in photo.guesses)
