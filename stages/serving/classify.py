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
from slimline.stages.serving.answers import FAILURES, Answers
from slimline.stages.serving.classified import Classified, classified_photos
from slimline.stages.serving.classify_config import ClassifyConfig

log = logging.getLogger(__name__)

UNKNOWN = "unknown"


def classify_photos(config: ClassifyConfig, out: Path, base: Artifact | None) -> Facts:
    """Classify by the base's ImageNet layer or by a trained model; print the results and write files into `out`.

    Raises:
        UserError: some photos could not be used; raised at the end, after all others are classified.
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
    paths = [Path(path) for path in config.images]
    done, unknown = 0, 0
    with Answers(out, config.write) as answers:
        for photo in classified_photos(
            model, paths, names, threshold=threshold, top=config.top, batch_size=config.batch_size
        ):
            if done < config.shown:
                print("\n".join(_lines(photo)))
            done += 1
            unknown += photo.unknown
            if photo.reason:
                answers.fail(photo.path, photo.reason)
            else:
                answers.add(photo.path, photo.guesses, photo.unknown)
    print(f"\nand {done - config.shown:,} more" if done > config.shown else "")
    written = " and ".join(f"predictions.{one.value}" for one in config.write)
    if answers.failed:
        raise UserError(
            f"{answers.failed:,} of {done:,} photos could not be classified; {out / FAILURES} says why.",
            f"The others are in {written} in the same folder.",
        )
    first = config.write[0].value if config.write else "jsonl"
    return {
        "images": done,
        "unknown": unknown,
        "threshold": threshold,
        **({"headline": f"scores    {{path}}/predictions.{first}"} if config.write else {}),
    }


def _lines(photo: Classified) -> Iterator[str]:
    """Yield the lines that the terminal shows for a photo."""
    yield f"\n{photo.path}"
    if photo.reason:
        yield f"not classified: {photo.reason}"
    if photo.unknown:
        name, score = photo.guesses[0]
        yield f"{UNKNOWN}: the best guess, {name}, has the score {score:.5f}, below the threshold {photo.threshold:.5f}"
    yield from (f"{name} (score = {score:.5f})" for name, score in photo.guesses)
