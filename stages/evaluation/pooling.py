"""The folds of a cross-validation together: measures over all photos, and their spread over the folds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from slimline.pipeline.artifact import Artifact, Facts, write_json
from slimline.stages.data.storing.training_photos import SEEN, read_training_photos
from slimline.stages.evaluation.crossval_config import CrossvalConfig
from slimline.stages.images.faults import Fault, counted
from slimline.stages.scoring.cautions import cautions
from slimline.stages.scoring.curves import write_curves
from slimline.stages.scoring.metrics import classification_metrics, confidence_intervals
from slimline.stages.scoring.sample_sizes import few_photos
from slimline.stages.scoring.slices import sliced_metrics

WIDTH = 100
"""Characters of a line of the summary."""

OF_FOLDS = ("top1", "balanced_accuracy", "macro_f1", "log_loss", "roc_auc")
OF_A_FOLD = ("count", *OF_FOLDS, "temperature", "reject_threshold", "accepted", "validation_photos")
OF_INGEST = ("train", "validation", "near_twins")


class Pooled(NamedTuple):
    """The predictions of all folds: a table, true classes [count], probabilities [count, classes], class names."""

    table: pa.Table
    targets: NDArray[np.int64]
    scores: NDArray[np.float64]
    labels: list[str]


def pool_folds(config: CrossvalConfig, out: Path, ingest: Sequence[Artifact], evaluate: Sequence[Artifact]) -> Facts:
    """Measure the photos of all folds together and write the files: see the stage."""
    measured = [json.loads((one.path / "metrics.json").read_text(encoding="utf-8")) for one in evaluate]
    pooled = _pooled(evaluate, list(measured[0]["per_class"]))
    _require_each_once(pooled, ingest)
    metrics = _metrics(config, pooled, ingest, measured)
    write_json(out / "metrics.json", metrics)
    write_curves(pooled.targets, pooled.scores, pooled.labels, out / "curves.parquet")
    pq.write_table(pooled.table, out / "predictions.parquet")
    over, facts = metrics["cross_validation"], ingest[0].facts
    plain = {name: value for name, value in metrics.items() if isinstance(value, (int, float))}
    return {
        **plain,
        "folds": over["folds"],
        **{f"mean_{name}": over["mean"][name] for name in OF_FOLDS},
        **{f"spread_{name}": over["spread"][name] for name in OF_FOLDS},
        "trained_on": metrics["trained_on"]["train"],
        "split": "test",
        "base_weights": metrics["base_weights"],
        "headline": _headline(metrics, facts, evaluate[0].facts),
    }


def _pooled(evaluate: Sequence[Artifact], labels: list[str]) -> Pooled:
    tables = []
    for fold, one in enumerate(evaluate):
        table = pq.read_table(one.path / "predictions.parquet")
        tables.append(table.append_column("fold", pa.array([fold] * len(table), pa.int32())))
    table = pa.concat_tables(tables).combine_chunks()
    places = {label: number for number, label in enumerate(labels)}
    targets = np.array([places[label] for label in table["label"].to_pylist()], np.int64)
    scores = table["probabilities"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return Pooled(table, targets, scores.reshape(len(targets), len(labels)), labels)


def _require_each_once(pooled: Pooled, ingest: Sequence[Artifact]) -> None:
    """Check that the folds test each usable photo once: those that a fold uses, and its near-twins of test photos.

    Raises:
        RuntimeError: they do not, so the folds do not belong together.
    """
    tested = pooled.table["sha256"].to_pylist()
    usable = {one.facts["photos"] + one.facts["near_twins"] for one in ingest}
    if len(set(tested)) != len(tested) or usable != {len(tested)}:
        raise RuntimeError(
            f"the folds test {len(tested):,} photos, {len(set(tested)):,} of them different, of {sorted(usable)} usable"
        )


def _metrics(
    config: CrossvalConfig, pooled: Pooled, ingest: Sequence[Artifact], measured: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the metrics in the form of `evaluate`; what differs between the folds' models is None or a mean."""
    counts = np.bincount(pooled.targets, minlength=len(pooled.labels)).tolist()
    seen = [read_training_photos(one.path / "index.parquet").classes for one in ingest]
    fewest = {label: min(one.get(label, 0) for one in seen) for label in pooled.labels}
    return {
        **classification_metrics(pooled.targets, pooled.scores, pooled.labels, config.top),
        "intervals": confidence_intervals(pooled.targets, pooled.scores, config.seed, config.resamples),
        "uncalibrated": {name: _mean(measured, "uncalibrated", name) for name in measured[0]["uncalibrated"]},
        "temperature": None,
        "reject_threshold": None,
        **_accepted(measured),
        "validation_photos": min(one["validation_photos"] for one in measured),
        "calibrated": all(one["calibrated"] for one in measured),
        "trained_on": {name: sum(one["trained_on"][name] for one in measured) for name in SEEN},
        "few_photos": few_photos(dict(zip(pooled.labels, counts, strict=True)), fewest),
        "split": "test",
        "base_weights": measured[0]["base_weights"],
        "slices": sliced_metrics(
            ingest[0].path / "index.parquet",
            pooled.table["sha256"].to_pylist(),
            pooled.targets,
            pooled.scores,
            config.slices,
        ),
        "cross_validation": _over_folds(ingest, measured),
        "folds": [
            {
                "fold": fold,
                **{name: one[name] for name in OF_A_FOLD},
                "top1_interval": one["intervals"]["top1"],
                **{name: photos.facts[name] for name in OF_INGEST},
            }
            for fold, (one, photos) in enumerate(zip(measured, ingest, strict=True))
        ],
    }


def _mean(measured: Sequence[Mapping[str, Any]], group: str, name: str) -> float:
    """Return the mean over all photos of a mean over each fold's photos."""
    return float(np.average([one[group][name] for one in measured], weights=[one["count"] for one in measured]))


def _accepted(measured: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the share of photos that their fold's reject threshold accepts, and how many of these are right."""
    kept = [one["accepted"] * one["count"] for one in measured]
    right = [count * one["accepted_precision"] for count, one in zip(kept, measured, strict=True) if count]
    total = sum(one["count"] for one in measured)
    return {"accepted": sum(kept) / total, "accepted_precision": sum(right) / sum(kept) if right else None}


def _over_folds(ingest: Sequence[Artifact], measured: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    values = {name: [one[name] for one in measured if one[name] is not None] for name in OF_FOLDS}
    return {
        "folds": len(measured),
        "mean": {name: float(np.mean(found)) if found else None for name, found in values.items()},
        "spread": {name: float(np.std(found, ddof=1)) if len(found) > 1 else None for name, found in values.items()},
        "near_twins": sum(one.facts["near_twins"] for one in ingest),
        "stated_splits": ingest[0].facts.get("stated_splits", 0),
    }


def _headline(metrics: Mapping[str, Any], data: Mapping[str, Any], evaluated: Mapping[str, Any]) -> str:
    """Return the accuracy with its interval, its spread over the folds, what was left out, and the cautions."""
    over, (low, high) = metrics["cross_validation"], metrics["intervals"]["top1"]
    drawn = " of DRAWN flowers, not photos" if data["origin"] != "photos" else ""
    base = ", by an UNTRAINED base" if evaluated["base_weights"] == "random" else ""
    folds = [one["top1"] for one in metrics["folds"]]
    lines = [
        f"crossval  top-1 {metrics['top1']:.1%}{drawn} ({low:.1%} to {high:.1%}), {metrics['count']:,} images,"
        f" each tested once{base}",
        f"          {over['folds']} folds: mean {over['mean']['top1']:.1%}, standard deviation"
        f" {100 * over['spread']['top1']:.1f} points, {min(folds):.1%} to {max(folds):.1%}",
    ]
    notes = []
    kinds = {Fault(kind): count for kind, count in data["left_out_by_kind"].items() if kind != Fault.near_twin}
    if kinds:
        notes.append(f"not tested: {counted(kinds)}; of duplicates, one is tested")
    if over["near_twins"]:
        notes.append(
            f"{over['near_twins']:,} times a photo was left out of a fold's training, since it looks like a photo"
            " tested there; it is tested in its own fold"
        )
    if over["stated_splits"]:
        notes.append(f"the source assigns {over['stated_splits']:,} photos to splits: folds do not use these splits")
    for note in notes:
        lines += wrap(note, WIDTH, initial_indent=" " * 10, subsequent_indent=" " * 10)
    for one in cautions(metrics):
        lines += wrap(one, WIDTH, initial_indent="warning   ", subsequent_indent=" " * 10, break_long_words=False)
    return "\n".join(lines)
