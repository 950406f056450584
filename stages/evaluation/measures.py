"""The files of an evaluation: metrics, curves, calibration, and the prediction of each photo."""

from __future__ import annotations

from pathlib import Path
from textwrap import wrap
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from slimline.pipeline.artifact import Artifact, Facts, read_artifact, write_json
from slimline.pipeline.errors import UserError
from slimline.pipeline.memo import Memo
from slimline.stages.data.storing.training_photos import TrainingPhotos, read_training_photos
from slimline.stages.evaluation.config import EvaluateConfig
from slimline.stages.evaluation.predictions import Evaluated, by_checkpoint, by_model
from slimline.stages.models.trained import TrainedModel
from slimline.stages.scoring.calibration import write_calibration
from slimline.stages.scoring.cautions import cautions
from slimline.stages.scoring.curves import write_curves
from slimline.stages.scoring.metrics import classification_metrics, confidence_intervals
from slimline.stages.scoring.sample_sizes import enough_to_calibrate, few_photos
from slimline.stages.scoring.slices import sliced_metrics

WIDTH = 100
"""Characters of a line of the summary."""


def write_measures(
    config: EvaluateConfig,
    out: Path,
    *,
    ingest: Artifact | None,
    base: Artifact | None,
    head: Artifact | None,
    train: Artifact | None,
    memo: Memo,
) -> Facts:
    """Run the model on the photos and write its measurements into `out`: see the stage.

    Raises:
        UserError: photos have classes that the model does not know, or the list of its photos cannot be read.
    """
    photos = ingest or _kept(Path(str(config.photos)))
    model = TrainedModel(base.path, head.path, train.path) if base and head and train else None
    listed = photos.path / "index.parquet" if model else config.trained_on
    seen = read_training_photos(Path(listed)) if listed else None
    splits = config.split.names
    if not sum(photos.facts[name] for name in splits):
        raise UserError(
            f"There are no {config.split.value} photos to evaluate: ingest.split.test=0 uses all photos for training"
            " and validation.",
            "Set evaluate.split=validation, or set ingest.split.test to a percentage.",
        )
    found = (
        by_checkpoint(model, photos.path, splits, config.reject_precision, out, memo)
        if model
        else by_model(Path(str(config.model)), photos.path, splits)
    )
    metrics = _metrics(config, found, seen)
    metrics["slices"] = sliced_metrics(
        photos.path / "index.parquet", found.sha256s, found.targets, found.scores, config.slices
    )
    write_json(out / "metrics.json", metrics)
    write_calibration(out, found.calibration)
    write_curves(found.targets, found.scores, found.labels, out / "curves.parquet")
    _write_predictions(out / "predictions.parquet", found)
    plain = {name: value for name, value in metrics.items() if isinstance(value, (int, float))}
    return {
        **plain,
        **({"trained_on": metrics["trained_on"]["train"]} if metrics["trained_on"] else {}),
        "split": config.split.value,
        "base_weights": found.base_weights,
        "headline": _headline(metrics, photos.facts["origin"] != "photos", found.trained),
    }


def _kept(path: Path) -> Artifact:
    """Return the artifact in a folder of the store; the folder's name is the artifact's generation."""
    return read_artifact(path, int(path.name))


def _metrics(config: EvaluateConfig, found: Evaluated, seen: TrainingPhotos | None) -> dict[str, Any]:
    counts = dict(zip(found.labels, np.bincount(found.targets, minlength=len(found.labels)).tolist(), strict=True))
    return {
        **classification_metrics(found.targets, found.scores, found.labels, config.top),
        "intervals": confidence_intervals(found.targets, found.scores, config.seed, config.resamples),
        **({"uncalibrated": found.uncalibrated} if found.uncalibrated else {}),
        **found.calibration.measured(found.targets, found.scores),
        **_calibration(config, found),
        "trained_on": seen.counts_among(found.sha256s) if seen else None,
        "few_photos": few_photos(counts, seen.classes if seen else None),
        "split": config.split.value,
        "base_weights": found.base_weights,
    }


def _calibration(config: EvaluateConfig, found: Evaluated) -> dict[str, Any]:
    """Return how the model was calibrated; of a given model it is not known."""
    if found.validation_photos is None:
        return {}
    return {
        "validation_photos": found.validation_photos,
        "calibrated": enough_to_calibrate(found.validation_photos),
        "reject_precision": config.reject_precision,
    }


def _headline(metrics: dict[str, Any], drawn: bool, trained: bool) -> str:
    """Return the accuracy with its interval, and a line for each caution."""
    low, high = metrics["intervals"]["top1"]
    of_drawn = " of DRAWN flowers, not photos" if drawn else ""
    known = metrics["trained_on"]
    unseen = " that training never saw" if known and not any(known.values()) else ""
    accuracy = f"{metrics['split']:<9} top-1 {metrics['top1']:.1%}{of_drawn} ({low:.1%} to {high:.1%})"
    base = "" if trained else ", by an UNTRAINED base"
    full = f"{accuracy}, {metrics['count']:,} images{unseen}{base}"
    lines = [full if len(full) <= WIDTH else f"{accuracy}, {metrics['count']:,} images{base}"]
    for one in cautions(metrics):
        lines += wrap(one, WIDTH, initial_indent="warning   ", subsequent_indent=" " * 10, break_long_words=False)
    return "\n".join(lines)


def _write_predictions(path: Path, found: Evaluated) -> None:
    table = {
        "filename": found.filenames,
        "sha256": found.sha256s,
        "label": [found.labels[number] for number in found.targets],
        "predicted": [found.labels[number] for number in found.scores.argmax(axis=1)],
        "score": found.scores.max(axis=1),
        "probabilities": pa.array(found.scores.tolist(), pa.list_(pa.float64(), len(found.labels))),
    }
    pq.write_table(pa.table(table), path)
