"""Evaluate: the trained model in float32, from encoded bytes, on the test split."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

from pipeline.artifact import Artifact, Facts, write_json
from pipeline.stage import stage


@dataclass
class EvaluateConfig:
    """Nothing to choose yet: the test split, the best checkpoint."""


@stage()
def evaluate(config: EvaluateConfig, out: Path, *, ingest: Artifact, train: Artifact) -> Facts:
    """Write `metrics.json`, and `predictions.parquet`: one row a test photo, with every class's probability.

    `frozen.pb` is the model that was measured: exports start from it.
    """
    import numpy as np

    from stages.data.records import read_records
    from stages.model import freeze_classifier, read_card
    from stages.networks.folding import write_frozen
    from stages.predict import Predictor, probabilities

    card = read_card(train.path)
    frozen = freeze_classifier(card, train.path / "best.ckpt")
    write_frozen(out / "frozen.pb", frozen)
    meanwhile = Thread(target=_import_metrics)
    meanwhile.start()
    logits, columns = Predictor(card, frozen).logits(read_records(ingest.path, "test"))
    scores, targets = probabilities(logits), np.asarray(columns["label"])
    meanwhile.join()
    from stages.metrics import classification_metrics

    metrics = classification_metrics(targets, scores, card.labels)
    write_json(out / "metrics.json", {**metrics, "base_weights": card.weights})
    _write_predictions(out / "predictions.parquet", columns, scores, card.labels)
    drawn = " of DRAWN flowers, not photos" if ingest.facts["origin"] != "photos" else ""
    untrained = "" if card.trained else ", by an UNTRAINED base"
    count = f"{metrics['count']:,} images that training never saw"
    headline = f"test      top-1 {metrics['top1']:.1%}{drawn}, {count}{untrained}"
    plain = {name: value for name, value in metrics.items() if isinstance(value, (int, float))}
    return {**plain, "base_weights": card.weights, "headline": headline}


def _import_metrics() -> None:
    """Import scikit-learn (0.6 s) while the network computes."""
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
