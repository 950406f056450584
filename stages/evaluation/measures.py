"""The files of an evaluation: metrics, curves, calibration, and the prediction of each photo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from slimline.pipeline.artifact import Artifact, Facts, read_artifact, write_json
from slimline.stages.evaluation.config import EvaluateConfig, Split
from slimline.stages.evaluation.predictions import Evaluated, by_checkpoint, by_model
from slimline.stages.scoring.calibration import write_calibration
from slimline.stages.scoring.curves import write_curves
from slimline.stages.scoring.metrics import classification_metrics, confidence_intervals
from slimline.stages.scoring.slices import sliced_metrics


def write_measures(config: EvaluateConfig, out: Path, ingest: Artifact | None, train: Artifact | None) -> Facts:
    """Run the model on the photos and write its measurements into `out`: see the stage.

    Raises:
        UserError: a metric is below its minimum in `at_least`; photos have classes that the model does not know.
    """
    photos = ingest or _kept(Path(str(config.photos)))
    splits = config.split.names
    found = (
        by_checkpoint(train.path, photos.path, splits, config.reject_precision, out)
        if train
        else by_model(Path(str(config.model)), photos.path, splits)
    )
    metrics = _metrics(config, found)
    config.at_least.check(metrics)
    sliced = (found.sha256s, found.targets, found.scores, config.slices, config.seed, config.resamples)
    metrics["slices"] = sliced_metrics(photos.path / "index.parquet", *sliced)
    write_json(out / "metrics.json", metrics)
    write_calibration(out, found.calibration)
    write_curves(found.targets, found.scores, found.labels, out / "curves.parquet")
    _write_predictions(out / "predictions.parquet", found)
    plain = {name: value for name, value in metrics.items() if isinstance(value, (int, float))}
    headline = _headline(config.split, metrics, photos.facts["origin"] != "photos", found.trained)
    return {**plain, "split": config.split.value, "base_weights": found.base_weights, "headline": headline}


def _kept(path: Path) -> Artifact:
    """Return the artifact in a folder of the store; the folder's name is the artifact's generation."""
    return read_artifact(path, int(path.name))


def _metrics(config: EvaluateConfig, found: Evaluated) -> dict[str, Any]:
    return {
        **classification_metrics(found.targets, found.scores, found.labels, config.top),
        "intervals": confidence_intervals(found.targets, found.scores, config.seed, config.resamples),
        **({"uncalibrated": found.uncalibrated} if found.uncalibrated else {}),
        **found.calibration.measured(found.targets, found.scores),
        "split": config.split.value,
        "base_weights": found.base_weights,
    }


def _headline(split: Split, metrics: dict[str, Any], drawn: bool, trained: bool) -> str:
    low, high = metrics["intervals"]["top1"]
    of_drawn = " of DRAWN flowers, not photos" if drawn else ""
    seen = " that training never saw" if split in (Split.validation, Split.test) else ""
    return (
        f"{split.value:<10}top-1 {metrics['top1']:.1%}{of_drawn} ({low:.1%} to {high:.1%}),"
        f" {metrics['count']:,} images{seen}{'' if trained else ', by an UNTRAINED base'}"
    )


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
