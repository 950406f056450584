"""Classify: photos in, the likeliest names out; by a base's ImageNet names, or by a trained run's."""

from __future__ import annotations

import glob
import json
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipeline.artifact import Artifact, Facts, write_text
from pipeline.config import require_range
from pipeline.content import files_below
from pipeline.errors import UserError
from pipeline.stage import stage
from stages.data.sources.photo import EXTENSIONS

log = logging.getLogger(__name__)

WINDOW = 64


@dataclass
class ClassifyConfig:
    """Photos, folders and globs; without any, one bundled photo. `model` is a run or a SavedModel's folder."""

    images: Any = field(default_factory=list)
    model: str | None = None
    top: int = 5
    full_names: bool = False

    def __post_init__(self) -> None:
        require_range("classify.top", self.top, 1, 100_000)
        self.images = [self.images] if isinstance(self.images, str) else self.images
        if not isinstance(self.images, list) or not all(isinstance(path, str) for path in self.images):
            raise UserError(
                f"classify.images={self.images} is no list of paths.",
                "Give photos, folders or globs: classify.images=[photo.jpg,folder/]",
            )


def settle_images(config: ClassifyConfig, plan: bool) -> ClassifyConfig:
    """Find every photo that is meant, and the model, before anything runs."""
    from stages.imagenet import photo_path

    if config.model is not None:
        find_saved_model(config.model)
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
                f"Give photos ({', '.join(EXTENSIONS)}), folders or globs: classify.images=[photo.jpg,folder/]",
            )
        yield from photos


def _photos_below(folder: Path) -> list[Path]:
    return [path for path in files_below(folder) if path.suffix.lower() in EXTENSIONS]


def find_saved_model(model: str) -> Path:
    """Return the SavedModel's folder of a run (`runs/flowers/latest`), or the folder itself.

    Raises:
        UserError: there is none.
    """
    root = Path(model).expanduser()
    for candidate in (root / "artifacts/export/saved_model", root / "saved_model", root):
        if (candidate / "saved_model.pb").is_file():
            return candidate
    raise UserError(
        f"classify.model={model} holds no exported model.",
        "Give a run that exported one, such as runs/flowers/latest, or a SavedModel's folder.",
    )


@stage(cache=False, resolve=settle_images, optional={"base": lambda config: config.model is None})
def classify(config: ClassifyConfig, out: Path, *, base: Artifact | None) -> Facts:
    """Print each photo's `top` names and scores; write `predictions.parquet` and `predictions.json`.

    A photo that can't be read or decoded is reported, and the others are classified all the same.
    """
    names, score = _base_scorer(base) if base else _model_scorer(config.model or "")
    if config.full_names and base:
        from stages.imagenet import full_names

        names = full_names(names)
    rows: list[dict[str, str | int | float]] = []
    failures: dict[str, str] = {}
    paths = [Path(path) for path in config.images]
    for start in range(0, len(paths), WINDOW):
        readable = _readable(paths[start : start + WINDOW], failures)
        scores = score(list(readable.values())) if readable else []
        for path, one in zip(readable, scores, strict=True):
            print(f"\n{path}")
            for rank, number in enumerate(sorted(range(len(one)), key=lambda index: -one[index])[: config.top], 1):
                print(f"{names[number]} (score = {one[number]:.5f})")
                rows.append({"path": path, "rank": rank, "name": names[number], "score": float(one[number])})
    for path, reason in failures.items():
        print(f"\n{path}\nnot classified: {reason}")
    print()
    _write(out, rows, failures)
    return {
        "images": len(paths) - len(failures),
        "failed": len(failures),
        "headline": "scores    {path}/predictions.parquet",
    }


def _readable(paths: list[Path], failures: dict[str, str]) -> dict[str, bytes]:
    """Read the photos that decode; note why the others don't."""
    from stages.tensorflow import tf

    readable = {}
    for path in paths:
        try:
            encoded = path.read_bytes()
            tf.io.decode_image(encoded, channels=3, expand_animations=False)
            readable[os.fspath(path)] = encoded
        except OSError as error:
            failures[os.fspath(path)] = f"it can't be read ({error.strerror})"
        except tf.errors.InvalidArgumentError:
            failures[os.fspath(path)] = "it is no whole JPEG, PNG, GIF or BMP" if encoded else "the file is empty"
    return readable


Scorer = Callable[[list[bytes]], list[list[float]]]


def _base_scorer(base: Artifact) -> tuple[list[str], Scorer]:
    from stages.model import freeze_classifier, read_card
    from stages.predict import Predictor, probabilities
    from stages.tensorflow import tf

    card = read_card(base.path)
    if not card.labels:
        raise UserError(
            f"The base {card.network} with weights {card.weights} has no ImageNet layer to classify by.",
            "Choose base.weights=imagenet, or classify with a trained run: classify.model=runs/flowers/latest",
        )
    predictor = Predictor(card, freeze_classifier(card, base.path / "model.ckpt"))

    def score(encoded: list[bytes]) -> list[list[float]]:
        logits, _ = predictor.logits(tf.data.Dataset.from_tensor_slices({"encoded": encoded}))
        return probabilities(logits).tolist()  # type: ignore[no-any-return]

    return card.labels, score


def _model_scorer(model: str) -> tuple[list[str], Scorer]:
    from stages.saved_model import SavedModel

    loaded = SavedModel(find_saved_model(model))
    if not loaded.trained:
        log.warning("classify: this model stands on an UNTRAINED base (base.weights=random)")
    return loaded.labels, lambda encoded: loaded(encoded).tolist()


def _write(out: Path, rows: list[dict[str, str | int | float]], failures: dict[str, str]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([("path", pa.string()), ("rank", pa.int64()), ("name", pa.string()), ("score", pa.float64())])
    safe = [
        {
            **row,
            "path": str(row["path"]).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"),
        }
        for row in rows
    ]
    pq.write_table(pa.Table.from_pylist(safe, schema), out / "predictions.parquet")
    write_text(out / "predictions.json", json.dumps({"predictions": safe, "failures": failures}, indent=2) + "\n")
