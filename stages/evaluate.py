"""Evaluate: the trained model in float32, from encoded bytes, on photos that training never saw."""

from __future__ import annotations

from pathlib import Path
from threading import Thread
from typing import Any

from pipeline.artifact import Artifact, Facts, write_json
from pipeline.stage import stage
from stages.evaluate_config import EvaluateConfig, Split


@stage()
def evaluate(config: EvaluateConfig, out: Path, *, ingest: Artifact, train: Artifact) -> Facts:
    """Write `metrics.json`, `curves.parquet`, and `predictions.parquet`: a row a photo, with every class's probability.

    Probabilities are those of the calibrated model: its logits are divided by the temperature that fits the validation
    photos. `calibration.json` holds it, and the score below which a name isn't to be trusted. `frozen.pb` is the model
    that was measured, as images to logits: exports start from it.

    Raises:
        UserError: a metric falls short of `at_least`.
    """
    import numpy as np

    from stages.calibration import calibrate, write_calibration
    from stages.data.records import read_records
    from stages.logits_file import read_logits
    from stages.model import freeze_classifier, read_card
    from stages.networks.folding import write_frozen
    from stages.predict import Predictor, probabilities

    card = read_card(train.path)
    frozen = freeze_classifier(card, train.path / "best.ckpt")
    write_frozen(out / "frozen.pb", frozen)
    meanwhile = Thread(target=_import_metrics)
    meanwhile.start()
    logits, columns = Predictor(card, frozen).logits(read_records(ingest.path, config.split.value))
    meanwhile.join()
    from stages.curves import write_curves
    from stages.metrics import classification_metrics, confidence_intervals, proper_scores

    calibration = calibrate(*read_logits(train.path / "validation.parquet", card.labels), config.reject_precision)
    write_calibration(out, calibration)
    targets = np.asarray(columns["label"])
    scores = probabilities(logits / calibration.temperature)
    metrics = {
        **classification_metrics(targets, scores, card.labels, config.top),
        "intervals": confidence_intervals(targets, scores, config.seed, config.resamples),
        "uncalibrated": proper_scores(targets, probabilities(logits)),
        **calibration.measured(targets, scores),
        "split": config.split.value,
        "base_weights": card.weights,
    }
    config.at_least.check(metrics)
    write_json(out / "metrics.json", metrics)
    write_curves(targets, scores, card.labels, out / "curves.parquet")
    _write_predictions(out / "predictions.parquet", columns, scores, card.labels)
    plain = {name: value for name, value in metrics.items() if isinstance(value, (int, float))}
    headline = _headline(config.split, metrics, ingest.facts["origin"] != "photos", card.trained)
    return {**plain, "split": config.split.value, "base_weights": card.weights, "headline": headline}


def _headline(split: Split, metrics: dict[str, Any], drawn: bool, trained: bool) -> str:
    low, high = metrics["intervals"]["top1"]
    of_drawn = " of DRAWN flowers, not photos" if drawn else ""
    seen = "" if split is Split.train else " that training never saw"
    return (
        f"{split.value:<10}top-1 {metrics['top1']:.1%}{of_drawn} ({low:.1%} to {high:.1%}),"
        f" {metrics['count']:,} images{seen}{'' if trained else ', by an UNTRAINED base'}"
    )


def _import_metrics() -> None:
    """Import scikit-learn (0.6 s) while the network computes."""
    import scipy.optimize  # noqa: F401
    import sklearn.metrics  # noqa: F401


def _write_predictions(path: Path, columns: dict[str, list[Any]], scores: Any, labels: list[str]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = {
        "filename": [name.decode("utf-8", "backslashreplace") for name in columns["filename"]],
        "sha256": [name.decode() for name in columns["sha256"]],
        "label": [labels[number] for number in columns["label"]],
        "predicted": [labels[number] for number in scores.argmax(axis=1)],
        "score": scores.max(axis=1),
        "probabilities": pa.array(scores.tolist(), pa.list_(pa.float64(), len(labels))),
    }
    pq.write_table(pa.table(table), path)
