"""Evaluate: the trained model in float32, from encoded bytes, on photos that training never saw."""

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
    """Write `metrics.json`, `curves.parquet`, and `predictions.parquet`: a row a photo, with every class's probability.

    Probabilities are those of the calibrated model: its logits are divided by the temperature that fits the validation
    photos. `calibration.json` holds it, and the score below which a name isn't to be trusted. Of a model that was
    trained here `logs/saved_model` is what was measured, and `frozen.pb` its network: exports start from these.

    Raises:
        UserError: a metric falls short of `at_least`; photos are of classes that the model doesn't know.
    """
    from slimline.stages.evaluation.measures import write_measures

    return write_measures(config, out, ingest, train)
