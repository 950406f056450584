"""Predictions of a model for photos: a model that was just trained, or an exported one in any format."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import reduce
from hashlib import sha256
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slimline.pipeline.errors import UserError
from slimline.pipeline.memo import Memo
from slimline.stages.data.storing.records import read_records
from slimline.stages.evaluation.kept_features import KeptFeatures, kept_features
from slimline.stages.images.batches import AT_ONCE, BATCH_SIZE, padded, without_autotune
from slimline.stages.images.parallel import in_parallel
from slimline.stages.models.assemble import classifier_network
from slimline.stages.models.card import input_shape
from slimline.stages.models.formats import EVALUATED_GRAPH, EVALUATED_MODEL
from slimline.stages.models.opened_export import open_model
from slimline.stages.models.saved_model import open_saved_model, write_saved_model
from slimline.stages.models.trained import TrainedModel
from slimline.stages.networks.graphs.folding import write_frozen
from slimline.stages.networks.graphs.module import freeze
from slimline.stages.scoring.calibration import Calibration, calibrate
from slimline.stages.scoring.logits_file import read_logits
from slimline.stages.scoring.metrics import proper_scores
from slimline.stages.scoring.probabilities import probabilities

MOST_NAMED = 10


class Evaluated(NamedTuple):
    """Evaluated photos with their true classes and predictions.

    `targets` are the true classes [count], `scores` the calibrated probabilities [count, classes]. `uncalibrated` is
    the log loss and the Brier score without the temperature; None where the logits are not known.
    `validation_photos` is the number of photos that the calibration was fitted to, None for a given model.
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
    validation_photos: int | None


def by_checkpoint(
    model: TrainedModel, ingest: Path, splits: Sequence[str], reject_precision: float | None, out: Path, memo: Memo
) -> Evaluated:
    """Write the best weights in float32 as a frozen graph and a SavedModel into `out`, and run the model.

    If only the head was trained, `memo` keeps the features of the photos, and the head runs on these.
    """
    card = model.card()
    validation, truth = read_logits(model.train / "validation.parquet", card.labels)
    calibration = calibrate(validation, truth, reject_precision)
    values = model.weights()
    write_frozen(out / EVALUATED_GRAPH, freeze(classifier_network(card), values, input_shape(card)))
    write_saved_model(out / EVALUATED_MODEL, card, out / EVALUATED_GRAPH, values, calibration)
    if kept := kept_features(out / EVALUATED_GRAPH, model.train, card, memo):
        logits, columns = _run_head(kept, _records(ingest, splits), memo)
    else:
        run = padded(open_saved_model(out / EVALUATED_MODEL).logits, BATCH_SIZE)
        logits, columns = _run(run, _records(ingest, splits), AT_ONCE)
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
        len(truth),
    )


def by_model(model: Path, ingest: Path, splits: Sequence[str]) -> Evaluated:
    """Run an exported model in its own runtime, from encoded bytes.

    Raises:
        UserError: the photos have classes that the model does not know.
    """
    opened = open_model(model, BATCH_SIZE)
    places = _places(ingest, opened.labels)
    scores, columns = _run(opened.score, _records(ingest, splits), opened.at_once)
    return Evaluated(
        opened.labels,
        opened.trained,
        opened.base_weights,
        _filenames(columns["filename"]),
        [name.decode() for name in columns["sha256"]],
        places[np.asarray(columns["label"], np.int64)],
        scores.astype(np.float64),
        Calibration(threshold=opened.threshold or None),
        None,
        None,
    )


def _run(run: Callable[[Any], NDArray[Any]], records: Any, at_once: int) -> tuple[NDArray[Any], dict[str, list[Any]]]:
    """Run on encoded photos, `at_once` batches in parallel; return outputs [count, classes] and the other columns."""
    outputs, columns = [], []
    with _metrics_imported():
        work = in_parallel(lambda batch: (batch, run(batch["encoded"].tolist())), _batches(records), at_once)
        for batch, output in work:
            outputs.append(output)
            columns.append(_named(batch))
    return np.concatenate(outputs), _joined(columns)


def _run_head(kept: KeptFeatures, records: Any, memo: Memo) -> tuple[NDArray[Any], dict[str, list[Any]]]:
    """Run the layers below the head on the photos that were not kept, then the head on all: as `_run`."""
    keys: list[str] = []
    columns: list[dict[str, list[Any]]] = []

    def photos() -> Iterator[tuple[str, bytes]]:
        for batch in _batches(records):
            columns.append(_named(batch))
            encoded = batch["encoded"].tolist()
            own = [sha256(one).hexdigest() for one in encoded]  # the record's sha256 is that of the source's bytes
            keys.extend(own)
            yield from zip(own, encoded, strict=True)

    with _metrics_imported():
        memo.note(computed=kept.compute(photos()))
        return kept.outputs(keys), _joined(columns)


def _batches(records: Any) -> Iterator[dict[str, Any]]:
    batches: Iterator[dict[str, Any]] = records.batch(BATCH_SIZE).with_options(without_autotune()).as_numpy_iterator()
    return batches


def _named(batch: Mapping[str, Any]) -> dict[str, list[Any]]:
    return {name: batch[name].tolist() for name in ("filename", "sha256", "label")}


def _joined(batches: Sequence[dict[str, list[Any]]]) -> dict[str, list[Any]]:
    return {name: [value for batch in batches for value in batch[name]] for name in batches[0]}


def _records(ingest: Path, splits: Sequence[str]) -> Any:
    return reduce(lambda first, second: first.concatenate(second), (read_records(ingest, name) for name in splits))


def _filenames(names: Sequence[bytes]) -> list[str]:
    return [name.decode("utf-8", "backslashreplace") for name in names]


@contextmanager
def _metrics_imported() -> Iterator[None]:
    """Import scikit-learn (0.6 s) in a thread while the network computes."""
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
    """Return the index of each of the photos' classes among the model's classes."""
    classes = (ingest / "labels.txt").read_text(encoding="utf-8").splitlines()
    unknown = [name for name in classes if name not in labels]
    if unknown:
        raise UserError(
            f"The photos have classes that the model does not know: {', '.join(unknown[:MOST_NAMED])}. It knows:"
            f" {', '.join(labels[:MOST_NAMED])}.",
            "Evaluate photos of the model's own classes, under the names that the model uses.",
        )
    return np.array([labels.index(name) for name in classes], np.int64)
