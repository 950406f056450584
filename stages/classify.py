"""Classify: photos in, the likeliest names out; by a base's ImageNet names, or by a trained model's."""

from __future__ import annotations

import glob
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slimline.pipeline.artifact import Artifact, Facts
from slimline.pipeline.config import require_range
from slimline.pipeline.content import files_below
from slimline.pipeline.errors import UserError
from slimline.pipeline.stage import stage
from slimline.stages.captions import CLASSIFYING, PHOTOS
from slimline.stages.data.sources.photo import EXTENSIONS
from slimline.stages.serving.answers import FAILURES, Answers, Kind

if TYPE_CHECKING:
    from slimline.stages.models.opened import OpenedModel

log = logging.getLogger(__name__)

PARQUET = ".parquet"
UNKNOWN = "unknown"


@dataclass
class ClassifyConfig:
    """Photos, folders, globs and Parquet files; without any, one bundled photo.

    `model` is a run or an exported model. A photo whose best score is below `threshold` (by default the model's own) is
    unknown. Of so many as `shown` photos the names are printed; those of all are written, as each kind of `write`.
    """

    images: Any = field(default_factory=list)
    model: str | None = None
    top: int = 5
    full_names: bool = False
    threshold: float | None = None
    shown: int = 100
    write: list[Kind] = field(default_factory=lambda: [Kind.parquet, Kind.jsonl])
    batch_size: int = 16

    def __post_init__(self) -> None:
        require_range("classify.top", self.top, 1, 100_000)
        require_range("classify.shown", self.shown, 0, 10_000_000)
        require_range("classify.batch_size", self.batch_size, 1, 4096)
        if self.threshold is not None:
            require_range("classify.threshold", self.threshold, 0.0, 1.0)
        self.images = [self.images] if isinstance(self.images, str) else self.images
        if not isinstance(self.images, list) or not all(isinstance(path, str) for path in self.images):
            raise UserError(
                f"classify.images={self.images} is no list of paths.",
                "Give photos, folders or globs: classify.images=[photo.jpg,folder/]",
            )


def settle_images(config: ClassifyConfig, plan: bool) -> ClassifyConfig:
    """Find every photo that is meant, and the model, before anything runs."""
    from slimline.stages.imagenet.photo import photo_path

    if config.model is not None:
        from slimline.stages.models.formats import find_model

        find_model(config.model, "classify.model")
    paths = [str(path) for path in _expand(config.images)] if config.images else [str(photo_path())]
    return replace(config, images=paths)


def _expand(patterns: list[str]) -> Iterator[Path]:
    for pattern in patterns:
        path = Path(pattern).expanduser()
        found = [path] if path.exists() else [Path(name) for name in sorted(glob.glob(str(path), recursive=True))]
        photos = [photo for one in found for photo in ([one] if one.is_file() else _photos_below(one))]
        if not photos:
            what = "holds no photos" if path.exists() else "isn't there, and matches nothing"
            raise UserError(
                f"classify.images: {pattern} {what}.",
                f"Give photos ({', '.join(EXTENSIONS)}), Parquet files with photos inside, folders or globs:"
                " classify.images=[photo.jpg,folder/]",
            )
        yield from photos


def _photos_below(folder: Path) -> list[Path]:
    return [path for path in files_below(folder) if path.suffix.lower() in (*EXTENSIONS, PARQUET)]


@stage(cache=False, resolve=settle_images, optional={"base": lambda config: config.model is None})
def classify(config: ClassifyConfig, out: Path, *, base: Artifact | None) -> Facts:
    """Print photos' `top` names and scores; write `predictions.*`, and `failures.jsonl`: what can't be used, and why.

    Raises:
        UserError: at the end, when all others are classified: photos couldn't be used.
    """
    from slimline.pipeline.progress import progress
    from slimline.stages.data.checking.usable_photos import count_photos, usable_photos
    from slimline.stages.models.opened import open_base, open_model
    from slimline.stages.serving.scored_photos import scored_photos

    model = open_base(base.path, config.batch_size) if base else open_model(_model_path(config), config.batch_size)
    if not model.trained:
        log.warning("classify: this model stands on an UNTRAINED base (base.weights=random)")
    names = _shown_names(model, config.full_names and base is not None)
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


def _model_path(config: ClassifyConfig) -> Path:
    from slimline.stages.models.formats import find_model

    return find_model(str(config.model), "classify.model")


def _shown_names(model: OpenedModel, full: bool) -> list[str]:
    if not full:
        return model.labels
    from slimline.stages.imagenet.class_names import full_names

    return full_names(model.labels)
