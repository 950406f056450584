"""Cross-validation: each photo is tested once, and never by a model that trained on it or on its near-twin."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from slimline.pipeline.artifact import Artifact, write_json
from slimline.pipeline.errors import UserError
from slimline.pipeline.memo import Memo
from slimline.stages.crossval import crossval
from slimline.stages.data.config import IngestConfig
from slimline.stages.data.settle import settle_source
from slimline.stages.data.splitting.config import SplitBy, SplitConfig
from slimline.stages.evaluate import evaluate
from slimline.stages.evaluation.config import AtLeast, EvaluateConfig, Split
from slimline.stages.evaluation.crossval_config import CrossvalConfig
from slimline.stages.evaluation.folds import fold_settings
from slimline.stages.ingest import ingest
from slimline.stages.scoring.intervals import wilson_interval
from tests.stages.data.sources.making import write

ALL = SplitConfig(by=SplitBy.hash, test=0)


def given(split: SplitConfig = ALL, measured: EvaluateConfig | None = None, **settings: Any) -> dict[str, Any]:
    return {
        "ingest": IngestConfig(split=split, seed=0, **settings),
        "evaluate": measured or EvaluateConfig(split=Split.validation, seed=0),
    }


def test_the_settings_of_a_fold_are_those_of_a_run_of_this_fold():
    parts = fold_settings(given(replace(ALL, folds=3, salt="x")))
    assert list(parts) == ["fold 0", "fold 1", "fold 2"]
    for fold, settings in enumerate(parts.values()):
        alone = SplitConfig(by=SplitBy.folds, folds=3, fold=fold, salt="x")
        assert settings == {"ingest": IngestConfig(split=alone, seed=0), "evaluate": EvaluateConfig(seed=0)}


@pytest.mark.parametrize(
    ("settings", "said", "advice"),
    [
        (given(replace(ALL, by=SplitBy.exact)), "ingest.split.by=exact cannot", "Remove it."),
        (given(replace(ALL, by=SplitBy.given)), "ingest.split.by=given cannot", "Remove it."),
        (given(replace(ALL, fold=2)), "ingest.split.fold=2 cannot", "ingest.split.by=folds ingest.split.fold=2"),
        (given(replace(ALL, test=20)), "ingest.split.test=20 cannot", "ingest.split.folds=5"),
        (given(measured=EvaluateConfig(model="m", split=Split.validation)), "evaluate.model=m cannot", "Remove it."),
        (given(measured=EvaluateConfig(split=Split.all)), "evaluate.split=all cannot", "Remove it."),
        (
            given(measured=EvaluateConfig(split=Split.validation, at_least=AtLeast(top1=0.9))),
            "evaluate.at_least.top1=0.9 cannot",
            "metrics.json",
        ),
        ({"ingest": IngestConfig()}, "crossval needs the stage evaluate", "evaluate=..."),
    ],
)
def test_settings_that_contradict_a_cross_validation_are_refused(settings, said, advice):
    with pytest.raises(UserError) as refused:
        fold_settings(settings)
    problem, action = str(refused.value).split("\n")
    assert problem.startswith(said)
    assert advice in action


@pytest.mark.parametrize("folds", [1, 101])
def test_too_few_or_too_many_folds_are_refused(folds):
    with pytest.raises(UserError, match=f"ingest.split.folds={folds} is out of range.\nIt must be from 2 to 100."):
        SplitConfig(by=SplitBy.hash, folds=folds)


def test_evaluating_the_test_photos_of_all_photos_for_training_is_refused(tmp_path):
    ingested = Artifact("ingest", "k", 1, tmp_path, "i", 0.0, {"train": 90, "validation": 10, "test": 0}, {})
    with pytest.raises(UserError, match=r"There are no test photos to evaluate: .*\nSet evaluate.split=validation, or"):
        evaluate(
            EvaluateConfig(model="model", seed=0),
            tmp_path,
            ingest=ingested,
            **dict.fromkeys(("base", "head", "train")),
            memo=Memo(tmp_path, {}, {}),
        )


# The folds of real files, with near-twins, groups and duplicates.


def blocks(seed: int, quality: int = 95) -> bytes:
    """Encode 64 x 64 pixels of 8 x 8 random blocks; another quality gives a near-twin."""
    small = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(small).resize((64, 64), Image.Resampling.BICUBIC).save(file, "JPEG", quality=quality)
    return file.getvalue()


def photos_with_twins(root: Path) -> Path:
    """Write 60 photos in two classes: 10 with a near-twin, 3 with a duplicate, 4 groups of 3, and a damaged file."""
    files, rows = {}, []
    for number in range(60):
        name = f"{number}.jpg"
        files[name] = blocks(number)
        rows.append((name, "ab"[number % 2], f"group {number // 6}{number % 2}" if number < 12 else "", "test"))
    for number in range(20, 30):
        files[f"twin {number}.jpg"] = blocks(number, quality=70)
        rows.append((f"twin {number}.jpg", "ab"[number % 2], "", "train"))
    for number in range(40, 43):
        files[f"again {number}.jpg"] = blocks(number)
        rows.append((f"again {number}.jpg", "ab"[number % 2], "", "train"))
    files["damaged.jpg"] = blocks(99)[:200]
    rows.append(("damaged.jpg", "a", "", "train"))
    text = io.StringIO()
    csv.writer(text).writerows([("path", "label", "group", "split"), *rows])
    return write(root, {**files, "photos.csv": text.getvalue().encode()}) / "photos.csv"


@pytest.fixture(scope="module")
def folds(tmp_path_factory) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Return the facts and the index of each of four folds."""
    root = photos_with_twins(tmp_path_factory.mktemp("photos"))
    found = []
    for settings in fold_settings(given(replace(ALL, folds=4), images=str(root))).values():
        out = tmp_path_factory.mktemp("fold")
        facts = ingest(settle_source(settings["ingest"], False), out)
        found.append((facts, pq.read_table(out / "index.parquet").to_pylist()))
    return found


@pytest.mark.slow
def test_each_photo_is_tested_in_one_fold_and_left_out_of_training_where_its_near_twin_is_tested(folds):
    tested = Counter(row["path"] for _, index in folds for row in index if row["split"] == "test")
    assert set(tested.values()) == {1}
    duplicates = {row["path"] for row in folds[0][1] if row["outcome"] == "duplicate"}
    assert len(duplicates) == 3
    assert len(tested) == 70 == 74 - 1 - len(duplicates)
    assert "damaged.jpg" not in tested
    apart = 0
    for facts, index in folds:
        split = {row["path"]: row["split"] for row in index}
        left_out = {row["path"] for row in index if row["outcome"] == "near_twin"}
        assert facts["photos"] + facts["near_twins"] == len(tested)
        assert facts["near_twins"] == len(left_out)
        for number in range(20, 30):
            pair = {f"{number}.jpg", f"twin {number}.jpg"}
            in_test = {path for path in pair if split[path] == "test"}
            assert pair - in_test <= left_out or not in_test
            apart += len(in_test) == 1
        assert all(split[path] is None for path in left_out)
    assert apart > 4, "some pairs must be in two folds for this test to show anything"


@pytest.mark.slow
def test_groups_stay_in_one_fold_and_the_splits_of_the_source_are_not_used(folds):
    for facts, index in folds:
        assert facts["stated_splits"] == facts["photos"]
        groups: dict[str, set[str]] = {}
        for row in index:
            if row["group"] and row["outcome"] in ("used", "near_twin"):
                groups.setdefault(row["group"], set()).add(row["split"] == "test")
        assert len(groups) == 4
        assert all(len(where) == 1 for where in groups.values())


@pytest.mark.slow
def test_a_fold_without_photos_is_refused(tmp_path):
    root = write(tmp_path / "in", {f"{'ab'[n % 2]}/{n}.jpg": blocks(n) for n in range(12)})
    with pytest.raises(UserError, match=r"Of 12 photos, fold \d+ of ingest.split.folds=50 has none.\nUse fewer folds."):
        for number, settings in enumerate(fold_settings(given(replace(ALL, folds=50), images=str(root))).values()):
            (tmp_path / str(number)).mkdir()
            ingest(settle_source(settings["ingest"], False), tmp_path / str(number))


# The measures of all folds together, from made-up evaluations.

LABELS = ["ant", "bee"]
RIGHT = ([True] * 30 + [False] * 10, [True] * 18 + [False] * 2)


def made_fold(folder: Path, fold: int, right: list[bool], twins: int = 1) -> tuple[Artifact, Artifact]:
    """Write what a fold's ingest and evaluate made, for photos that are correctly or wrongly classified."""
    photos, evaluated = folder / f"ingest{fold}", folder / f"evaluate{fold}"
    photos.mkdir()
    evaluated.mkdir()
    used = sum(len(one) for one in RIGHT) - twins
    index = {"sha256": [f"{n:064x}" for n in range(used)], "label": [LABELS[n % 2] for n in range(used)]}
    pq.write_table(pa.table({**index, "split": ["train"] * used}), photos / "index.parquet")
    labels = [number % 2 for number in range(len(right))]
    scores = [[0.75, 0.25] if (label == 0) == one else [0.25, 0.75] for label, one in zip(labels, right, strict=True)]
    table = {
        "filename": [f"{fold}/{n}.jpg" for n in range(len(right))],
        "sha256": [f"{fold} {n}" for n in range(len(right))],
        "label": [LABELS[label] for label in labels],
        "predicted": [LABELS[int(np.argmax(one))] for one in scores],
        "score": [0.75] * len(right),
        "probabilities": pa.array(scores, pa.list_(pa.float64(), 2)),
    }
    pq.write_table(pa.table(table), evaluated / "predictions.parquet")
    top1 = sum(right) / len(right)
    metrics = {
        **dict.fromkeys(("top1", "balanced_accuracy", "macro_f1", "roc_auc"), top1),
        "count": len(right),
        "log_loss": 0.5,
        "uncalibrated": {"log_loss": 1.0 + fold, "brier": 0.5},
        "temperature": 1.5,
        "reject_threshold": 0.6,
        "accepted": 0.5,
        "accepted_precision": 0.9,
        "validation_photos": 60 + fold,
        "calibrated": True,
        "trained_on": {"train": 0, "validation": 0},
        "base_weights": "imagenet: x",
        "per_class": dict.fromkeys(LABELS),
        "intervals": {"top1": [0.1, 0.9]},
    }
    write_json(evaluated / "metrics.json", metrics)
    facts = {"origin": "photos", "photos": used, "near_twins": twins, "train": 50, "validation": 9, "left_out": 3}
    facts["left_out_by_kind"] = {"near twins of test photos": twins, "duplicates": 2}
    return (
        Artifact("ingest", "k", 1, photos, "i", 0.0, facts, {}),
        Artifact("evaluate", "k", 1, evaluated, "e", 0.0, {"base_weights": "imagenet: x"}, {}),
    )


def pooled(folder: Path, *folds: tuple[Artifact, Artifact]) -> tuple[dict[str, Any], dict[str, Any]]:
    ingests, evaluations = zip(*folds, strict=True)
    config = CrossvalConfig(seed=0, resamples=100)
    facts = crossval(config, folder, ingest=ingests, evaluate=evaluations)
    return facts, json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


def test_measures_are_those_of_all_photos_together_and_the_spread_is_that_of_the_folds(tmp_path):
    facts, metrics = pooled(tmp_path, *(made_fold(tmp_path, fold, right) for fold, right in enumerate(RIGHT)))
    assert metrics["count"] == 60
    assert metrics["top1"] == facts["top1"] == 48 / 60
    assert metrics["intervals"]["top1"] == pytest.approx(wilson_interval(48, 60))
    assert np.sum(metrics["confusion_matrix"]) == 60
    assert np.trace(metrics["confusion_matrix"]) == 48
    over = metrics["cross_validation"]
    assert over["folds"] == 2
    assert over["mean"]["top1"] == facts["mean_top1"] == pytest.approx((0.75 + 0.9) / 2)
    assert over["spread"]["top1"] == facts["spread_top1"] == pytest.approx(0.15 / 2**0.5)
    assert metrics["uncalibrated"]["log_loss"] == pytest.approx((40 * 1.0 + 20 * 2.0) / 60)
    assert metrics["accepted_precision"] == pytest.approx(0.9)
    assert (metrics["reject_threshold"], metrics["temperature"]) == (None, None)
    assert (metrics["split"], metrics["trained_on"]) == ("test", {"train": 0, "validation": 0})
    assert [one["top1"] for one in metrics["folds"]] == [0.75, 0.9]
    table = pq.read_table(tmp_path / "predictions.parquet")
    assert Counter(table["fold"].to_pylist()) == {0: 40, 1: 20}
    assert facts["headline"].splitlines() == [
        "crossval  top-1 80.0% (68.2% to 88.2%), 60 images, each tested once",
        "          2 folds: mean 82.5%, standard deviation 10.6 points, 75.0% to 90.0%",
        "          not tested: 2 duplicates; of duplicates, one is tested",
        "          2 times a photo was left out of a fold's training, since it looks like a photo tested",
        "          there; it is tested in its own fold",
    ]


def test_folds_that_do_not_test_each_photo_once_are_refused(tmp_path):
    first, second = (made_fold(tmp_path, fold, right) for fold, right in enumerate(RIGHT))
    with pytest.raises(RuntimeError, match="test 80 photos, 40 of them different"):
        pooled(tmp_path, first, first)
    short = replace(second[0], facts={**second[0].facts, "photos": 58})
    with pytest.raises(RuntimeError, match=r"of \[59, 60\] usable"):
        pooled(tmp_path, first, (short, second[1]))
