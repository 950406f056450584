"""Photos classified: their names printed, and those of all written."""

from __future__ import annotations

import logging
from pathlib import Path

from slimline.pipeline.artifact import Artifact, Facts
from slimline.pipeline.errors import UserError
from slimline.pipeline.progress import progress
from slimline.stages.backend.captions import CLASSIFYING, PHOTOS
from slimline.stages.data.checking.usable_photos import count_photos, usable_photos
from slimline.stages.imagenet.class_names import full_names
from slimline.stages.models.formats import find_model
from slimline.stages.models.opened import open_base
from slimline.stages.models.opened_export import open_model
from slimline.stages.serving.answers import FAILURES, Answers
from slimline.stages.serving.classify_config import ClassifyConfig
from slimline.stages.serving.scored_photos import scored_photos

log = logging.getLogger(__name__)

UNKNOWN = "unknown"


def classify_photos(config: ClassifyConfig, out: Path, base: Artifact | None) -> Facts:
    """Classify by the base's ImageNet layer or by a trained model; print names, and write files into `out`.

    Raises:
        UserError: at the end, when all others are classified: photos couldn't be used.
    """
    model = (
        open_base(base.path, config.batch_size)
        if base
        else open_model(find_model(str(config.model), "classify.model"), config.batch_size)
    )
    if not model.trained:
        log.warning("classify: this model stands on an UNTRAINED base (base.weights=random)")
    names = full_names(model.labels) if config.full_names and base else model.labels
    threshold = model.threshold if config.threshold is None else config.threshold
    paths = [Path(path) for path in config.images]
    total, done, unknown = count_photos(paths), 0, 0
    with progress(CLASSIFYING, total, PHOTOS) as advance, Answers(out, config.write) as answers:
        for photo, scores in scored_photos(model, usable_photos(paths), config.batch_size):
            show = done < config.shown
            done += 1
            advance()
            if scores is None:
                answers.fail(photo.name, photo.reason)
                if show:
                    print(f"\n{photo.name}\nnot classified: {photo.reason}")
                continue
            best = (-scores).argsort(kind="stable")[: config.top]
            guesses = [(names[number], float(scores[number])) for number in best]
            rejected = guesses[0][1] < threshold
            unknown += rejected
            answers.add(photo.name, guesses, rejected)
            if show:
                print(f"\n{photo.name}")
                if rejected:
                    print(f"{UNKNOWN}: no score reaches {threshold:.5f}")
                print("\n".join(f"{name} (score = {score:.5f})" for name, score in guesses))
    print(f"\nand {done - config.shown:,} more" if done > config.shown else "")
    written = " and ".join(f"predictions.{one.value}" for one in config.write)
    if answers.failed:
        raise UserError(
            f"{answers.failed:,} of {done:,} photos couldn't be classified; {out / FAILURES} says why.",
            f"The others are in {written} beside it.",
        )
    first = config.write[0].value if config.write else "jsonl"
    return {
        "images": done,
        "unknown": int(unknown),
        "threshold": threshold,
        **({"headline": f"scores    {{path}}/predictions.{first}"} if config.write else {}),
    }
