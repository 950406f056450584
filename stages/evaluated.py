"""Photos and what a model says of them: of a checkpoint that was just trained, or of a model exported as whatever."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import reduce
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from stages.calibration import Calibration, calibrate
from stages.data.batches import without_autotune
from stages.data.records import read_records
from stages.predict import BATCH_SIZE, Predictor, probabilities

MOST_NAMED = 10


class Evaluated(NamedTuple):
    """Photos, each one's class in `targets` [count], and probabilities `scores` [count, classes], calibrated.

    `uncalibrated` is the log loss and the Brier score without the temperature, where the logits are known.
    """

    labels: list[str]
    trained: bool
    base_weights: str
    filenames: list[str]
    sha256s: list[str]
    targets: NDArray[np.int64]
    scores: NDArray[np.float64]
    calibration: Calibration
    uncalibrated: dict[str, float] | None


def by_checkpoint(
    train: Path, ingest: Path, splits: Sequence[str], reject_precision: float | None, frozen: Path
) -> Evaluated:
    """Run a training's best weights, in float32; write them as a GraphDef to `frozen`."""
    from stages.logits_file import read_logits
    from stages.metrics import proper_scores
    from stages.model import freeze_classifier, read_card
    from stages.networks.folding import write_frozen

    card = read_card(train)
    function = freeze_classifier(card, train / "best.ckpt")
    write_frozen(frozen, function)
    with _metrics_imported():
        logits, columns = Predictor(card, function).logits(_records(ingest, splits))
    calibration = calibrate(*read_logits(train / "validation.parquet", card.labels), reject_precision)
    targets = np.asarray(columns["label"], np.int64)
    return Evaluated(
        card.labels,
        card.trained,
        card.weights,
        _filenames(columns["filename"]),
        [name.decode() for name in columns["sha256"]],
        targets,
        probabilities(logits / calibration.temperature),
        calibration,
        proper_scores(targets, probabilities(logits)),
    )


def by_model(model: Path, ingest: Path, splits: Sequence[str]) -> Evaluated:
    """Run an exported model, with its own runtime, from encoded bytes.

    Raises:
        UserError: there are photos of a class that the model doesn't know.
    """
    from stages.opened_model import open_model

    opened = open_model(model, BATCH_SIZE)
    places = _places(ingest, opened.labels)
    scores, columns = [], []
    batches = _records(ingest, splits).batch(BATCH_SIZE).with_options(without_autotune()).as_numpy_iterator()
    with _metrics_imported():
        for batch in batches:
            scores.append(opened.score(batch["encoded"].tolist()))
            columns.append({name: batch[name].tolist() for name in ("filename", "sha256", "label")})
    filenames, sha256s, labels = (
        [value for one in columns for value in one[name]] for name in ("filename", "sha256", "label")
    )
    return Evaluated(
        opened.labels,
        opened.trained,
        opened.base_weights,
        _filenames(filenames),
        [name.decode() for name in sha256s],
        places[np.asarray(labels, np.int64)],
        np.concatenate(scores).astype(np.float64),
        Calibration(threshold=opened.threshold or None),
        None,
    )


def _records(ingest: Path, splits: Sequence[str]) -> Any:
    return reduce(lambda first, second: first.concatenate(second), (read_records(ingest, name) for name in splits))


def _filenames(names: Sequence[bytes]) -> list[str]:
    return [name.decode("utf-8", "backslashreplace") for name in names]


@contextmanager
def _metrics_imported() -> Iterator[None]:
    """Import scikit-learn (0.6 s) while a network computes."""
    meanwhile = Thread(target=_import_metrics)
    meanwhile.start()
    try:
        yield
    finally:
        meanwhile.join()


def _import_metrics() -> None:
    import scipy.optimize  # noqa: F401
    import sklearn.metrics  # noqa: F401


def _places(ingest: Path, labels: Sequence[str]) -> NDArray[np.int64]:
    """Return for each class of the photos its place among the model's."""
    classes = (ingest / "labels.txt").read_text(encoding="utf-8").splitlines()
    unknown = [name for name in classes if name not in labels]
    if unknown:
        raise UserError(
            f"The model doesn't know {', '.join(unknown[:MOST_NAMED])}; it knows {', '.join(labels[:MOST_NAMED])}.",
            "Give photos of its own classes, named as it names them.",
        )
    return np.array([labels.index(name) for name in classes], np.int64)
