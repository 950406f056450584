"""Evaluate: measure the trained model in float32, from encoded bytes, on photos that training never saw."""

from __future__ import annotations

import json
from pathlib import Path

from slimline.pipeline.artifact import Artifact, Facts
from slimline.pipeline.memo import Memo
from slimline.pipeline.stage import stage
from slimline.stages.evaluation.config import EvaluateConfig, chosen_network
from slimline.stages.evaluation.settle import settle_model


def check_minimum(config: EvaluateConfig, artifact: Artifact) -> None:
    """Check the metrics against `at_least`.

    Raises:
        GateFailed: some are lower.
    """
    config.at_least.check(json.loads((artifact.path / "metrics.json").read_text(encoding="utf-8")))


@stage(
    resolve=settle_model,
    choices=chosen_network,
    gate=check_minimum,
    shown=("top1", "count", "trained_on", "balanced_accuracy", "log_loss"),
    optional={
        "ingest": lambda config: config.model is None or config.images is not None,
        **dict.fromkeys(("base", "head", "train"), lambda config: config.model is None),
    },
)
def evaluate(
    config: EvaluateConfig,
    out: Path,
    *,
    ingest: Artifact | None,
    base: Artifact | None,
    head: Artifact | None,
    train: Artifact | None,
    memo: Memo,
) -> Facts:
    """Write `metrics.json`, `curves.parquet` and `predictions.parquet`.

    `predictions.parquet` has one row per photo, with the probability of every class. Probabilities are those of the
    calibrated model: its logits are divided by a temperature that is fitted to the validation photos.
    `calibration.json` holds the temperature, and the score below which a prediction should not be trusted. For a model
    that this run trained, `logs/saved_model` is the evaluated model and `frozen.pb` its network; exports start from
    these. `metrics.json` says how many of the photos trained or validated the model (`trained_on`), and of which
    classes there are few photos (`few_photos`). If a metric is below its minimum in `at_least`, nothing is exported.

    If only the head was trained, the memo holds what the layers below it computed for each photo, so that another
    training evaluates the head alone.

    Raises:
        UserError: photos have classes that the model does not know.
    """
    from slimline.stages.evaluation.measures import write_measures

    return write_measures(config, out, ingest=ingest, base=base, head=head, train=train, memo=memo)
