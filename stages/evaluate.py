"""Evaluate: measure the trained model in float32, from encoded bytes, on photos that training never saw."""

from __future__ import annotations

from pathlib import Path

from slimline.pipeline.artifact import Artifact, Facts
from slimline.pipeline.stage import stage
from slimline.stages.evaluation.config import EvaluateConfig, chosen_network
from slimline.stages.evaluation.settle import settle_model


@stage(
    resolve=settle_model,
    choices=chosen_network,
    optional={
        "ingest": lambda config: config.model is None or config.images is not None,
        "train": lambda config: config.model is None,
    },
)
def evaluate(config: EvaluateConfig, out: Path, *, ingest: Artifact | None, train: Artifact | None) -> Facts:
    """Write `metrics.json`, `curves.parquet` and `predictions.parquet`.

    `predictions.parquet` has one row per photo, with the probability of every class. Probabilities are those of the
    calibrated model: its logits are divided by a temperature that is fitted to the validation photos.
    `calibration.json` holds the temperature, and the score below which a prediction should not be trusted. For a model
    that this run trained, `logs/saved_model` is the evaluated model and `frozen.pb` its network; exports start from
    these.

    Raises:
        UserError: a metric is below its minimum in `at_least`; photos have classes that the model does not know.
    """
    from slimline.stages.evaluation.measures import write_measures

    return write_measures(config, out, ingest, train)
