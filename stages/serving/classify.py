"""Classification of photos: results are printed and written to files."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from slimline.pipeline.artifact import Artifact, Facts
from slimline.pipeline.errors import UserError
from slimline.stages.data.checking.checks import Limits
from slimline.stages.data.checking.input_files import printable
from slimline.stages.imagenet.class_names import full_names
from slimline.stages.models.formats import find_model
from slimline.stages.models.opened import OpenedModel, open_base
from slimline.stages.models.opened_export import open_model
from slimline.stages.serving.answers import FAILURES, Answers
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
    model = _opened(config, base)
    names = full_names(model.labels) if config.full_names and base else model.labels
    threshold = model.threshold if config.threshold is None else config.threshold
    limits = Limits(config.max_pixels, config.max_frames, config.max_file_mb * 1_000_000)
    paths = [Path(path) for path in config.images]
    classified, unknown, left_out = 0, 0, LeftOut()
    with Answers(out, config.write) as answers:
        for photo in classified_photos(
            model, paths, names, threshold=threshold, top=config.top, batch_size=config.batch_size, limits=limits
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
    counts = {"images": classified, "left_out": left_out.count, "unknown": unknown, "threshold": threshold}
    return {**counts, **_summary(config, out, classified, left_out)}


def _opened(config: ClassifyConfig, base: Artifact | None) -> OpenedModel:
    if base:
        model = open_base(base.path, config.batch_size)
    else:
        model = open_model(find_model(str(config.model), "classify.model"), config.batch_size)
    if not model.trained:
        log.warning("classify: this model has an UNTRAINED base (base.weights=random)")
    return model


def _summary(config: ClassifyConfig, out: Path, classified: int, left_out: LeftOut) -> Facts:
    """Return the lines at the end of the run, and what failed while the rest was kept."""
    lines = [left_out.line(classified), *(f"scores    {{path}}/predictions.{one.value}" for one in config.write[:1])]
    headline = "\n".join(line for line in lines if line)
    return {
        **({"headline": headline} if headline else {}),
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
