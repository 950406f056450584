"""Evaluate: the written metrics equal those computed from the photos' bytes."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from slimline.pipeline.artifact import Artifact, seal
from slimline.pipeline.content import ContentDigests
from slimline.pipeline.errors import GateFailed, UserError
from slimline.pipeline.keys import tracked
from slimline.pipeline.memo import Memo
from slimline.stages.backend.tensorflow import tf
from slimline.stages.data.config import ColumnsConfig, IngestConfig
from slimline.stages.data.settle import settle_source
from slimline.stages.data.storing.photos import Photos
from slimline.stages.evaluate import evaluate
from slimline.stages.evaluation.config import AtLeast, EvaluateConfig, Split
from slimline.stages.evaluation.settle import settle_model
from slimline.stages.images.preprocessing import preprocess
from slimline.stages.ingest import ingest as ingest_stage
from slimline.stages.models.trained import TrainedModel
from slimline.stages.scoring.calibration import read_calibration
from slimline.stages.scoring.logits_file import read_logits
from slimline.stages.scoring.metrics import proper_scores
from slimline.stages.scoring.probabilities import probabilities
from tests.stages.toy_training import CLASSES, classifier, config, draw_photos, phase

pytestmark = pytest.mark.slow

UNTRAINED = {**dict.fromkeys(("base", "head", "train")), "memo": Memo(Path("unused"), {}, {})}
ASKED = EvaluateConfig(seed=0, top=[2], reject_precision=0.9)


@pytest.fixture(scope="module")
def trained(toys) -> Artifact:
    out = toys.out()
    facts = toys.train(config(phase("head", epochs=8), label_smoothing=0.2), out)
    return Artifact("train", "k", 1, out, "t", 0.0, facts, {})


def logits_of(photos: Photos, model: TrainedModel) -> np.ndarray:
    card = model.card()
    prepare = tf.function(lambda encoded: preprocess(encoded, card.preprocessing), autograph=False)
    images = tf.stack([prepare(tf.constant(photos.encoded(number))) for number in range(len(photos))])
    return classifier(model)(images).numpy()


def test_training_stores_the_validation_logits_of_its_best_weights(toys, trained):
    photos = Photos(toys.ingest.path, "validation")
    logits, labels = read_logits(trained.path / "validation.parquet", list(CLASSES))
    assert labels.tolist() == photos.labels.tolist()
    assert logits == pytest.approx(logits_of(photos, toys.model(trained.path)), abs=1e-4)
    assert np.mean(logits.argmax(axis=1) == labels) == trained.facts["validation_top1"]


@pytest.mark.parametrize("split", [Split.train, Split.validation, Split.test])
def test_metrics_are_those_of_the_calibrated_model(toys, trained, split):
    out = toys.out()
    facts = evaluate(replace(ASKED, split=split), out, **toys.trained(trained))
    photos = Photos(toys.ingest.path, split.value)
    logits, calibration = logits_of(photos, toys.model(trained.path)), read_calibration(out)
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    scores = probabilities(logits / calibration.temperature)
    assert metrics["count"] == len(photos)
    assert metrics["split"] == split.value
    assert metrics["top1"] == facts["top1"] == np.mean(logits.argmax(axis=1) == photos.labels)
    assert "top2" in metrics
    assert {name: metrics[name] for name in ("log_loss", "brier")} == pytest.approx(
        proper_scores(photos.labels, scores), rel=1e-3
    )
    assert metrics["uncalibrated"] == pytest.approx(proper_scores(photos.labels, probabilities(logits)), rel=1e-3)
    low, high = metrics["intervals"]["top1"]
    assert low <= metrics["top1"] <= high
    assert facts["headline"].startswith(f"{split.value:<9} top-1 {metrics['top1']:.1%} ({low:.1%} to {high:.1%}), ")
    known = {"train": len(photos) * (split is Split.train), "validation": len(photos) * (split is Split.validation)}
    assert metrics["trained_on"] == known
    assert facts["trained_on"] == known["train"]
    assert ("that training never saw" in facts["headline"]) == (split is Split.test)
    lines = facts["headline"].splitlines()
    lower = "expect a lower accuracy on new photos"
    assert (f"warning   {len(photos)} of {len(photos)} photos trained this model: {lower}" in lines) == (
        split is Split.train
    )
    assert any("are this model's validation photos" in line for line in lines) == (split is Split.validation)
    assert all(len(line) <= 100 for line in lines)
    rows = pq.read_table(out / "predictions.parquet").to_pylist()
    assert [row["sha256"] for row in rows] == photos.keys
    assert np.array([row["probabilities"] for row in rows]) == pytest.approx(scores, abs=1e-4)
    assert set(pq.read_table(out / "curves.parquet")["class"].to_pylist()) == set(CLASSES)


def test_a_test_of_few_photos_is_told_with_its_classes_and_is_not_calibrated(toys, trained):
    out = toys.out()
    facts = evaluate(ASKED, out, **toys.trained(trained))
    count, validation = (toys.ingest.facts[split] for split in ("test", "validation"))
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    trained_photos = Photos(toys.ingest.path, "train").labels
    assert metrics["few_photos"] == {
        "split": True,
        "classes": {
            label: {
                "evaluated": metrics["per_class"][label]["support"],
                "training": int(np.sum(trained_photos == number)),
            }
            for number, label in enumerate(CLASSES)
        },
    }
    assert (metrics["validation_photos"], metrics["calibrated"]) == (validation, False)
    assert (metrics["temperature"], metrics["reject_threshold"], metrics["accepted"]) == (1.0, None, 1.0)
    assert metrics["uncalibrated"]["log_loss"] == metrics["log_loss"]
    shown = " ".join(facts["headline"].split())
    assert f"warning {count} test photos are few (under 50): all figures are uncertain" in shown
    assert "3 classes have few photos (under 10 test or 20 training): ant " in shown
    assert f"no reject threshold: {validation} validation photos are too few (under 50)" in shown


def test_calibration_is_fitted_on_validation_only(toys, trained, monkeypatch):
    monkeypatch.setattr("slimline.stages.scoring.sample_sizes.LEAST_VALIDATION", 5)
    out = toys.out()
    evaluate(replace(ASKED, split=Split.train), out, **toys.trained(trained))
    found = read_calibration(out)
    logits, labels = read_logits(trained.path / "validation.parquet", list(CLASSES))
    losses = [
        proper_scores(labels, probabilities(logits / found.temperature / factor))["log_loss"]
        for factor in (0.9, 1, 1.1)
    ]
    assert losses[1] == min(losses)
    other = toys.out()
    evaluate(replace(ASKED, split=Split.test, reject_precision=None), other, **toys.trained(trained))
    assert read_calibration(other) == (found.temperature, None)


def test_a_model_below_a_minimum_is_evaluated_and_the_gate_lists_the_metrics(toys, trained):
    asked = replace(ASKED, split=Split.train, at_least=AtLeast(top1=1.0, balanced_accuracy=0.01, roc_auc=1.0))
    out = toys.out()
    facts = evaluate(asked, out, **toys.trained(trained))
    made = Artifact("evaluate", "k", 1, out, "e", 0.0, facts, {})
    with pytest.raises(
        GateFailed, match=r"does not reach evaluate\.at_least on \d+ photos: top1 0\.\d{4}, required 1"
    ) as caught:
        evaluate.gate(asked, made)
    assert "roc_auc 0." in str(caught.value)
    assert "balanced_accuracy" not in str(caught.value)
    evaluate.gate(replace(asked, at_least=AtLeast(top1=0.01, macro_f1=0.01)), made)
    evaluate.gate(replace(asked, at_least=AtLeast()), made)


def test_a_minimum_is_not_part_of_the_key(tmp_path):
    contents = ContentDigests(tmp_path / "digests")
    keys = [tracked(replace(ASKED, at_least=AtLeast(top1=least)), contents) for least in (None, 0.9)]
    assert keys[0] == keys[1]
    assert "at_least" not in keys[0]
    assert tracked(replace(ASKED, resamples=200), contents) != keys[0]


@pytest.mark.parametrize(
    "wrong",
    [{"top": [1]}, {"reject_precision": 1.5}, {"resamples": 5}],
)
def test_a_value_out_of_range_is_refused(wrong):
    with pytest.raises(UserError, match=f"evaluate.{next(iter(wrong))}"):
        EvaluateConfig(**wrong)


def test_a_minimum_above_one_is_refused():
    with pytest.raises(UserError, match=r"evaluate\.at_least\.top1"):
        AtLeast(top1=90)


def test_a_given_model_is_evaluated_on_its_own_runs_photos_or_on_others(toys, trained, tmp_path):
    from slimline.stages.export import export
    from slimline.stages.exporting.config import ExportConfig
    from slimline.stages.models.formats import Format

    run = tmp_path / "run"
    out = toys.out()
    own = evaluate(ASKED, out, **toys.trained(trained))
    evaluated = Artifact("evaluate", "k", 1, out, "e", 0.0, own, {})
    (run / "artifacts/export").mkdir(parents=True)
    asked = ExportConfig([Format.saved_model, Format.onnx])
    export(asked, run / "artifacts/export", ingest=toys.ingest, train=trained, evaluate=evaluated)
    kept = tmp_path / "store/1"
    shutil.copytree(toys.ingest.path, kept)
    seal(kept, "ingest", "k", 0.0, toys.ingest.facts, {})
    (run / "artifacts/ingest").symlink_to(kept)
    for given in (run, run / "artifacts/export/model.onnx"):
        images = None if given == run else "somewhere"
        settled = settle_model(replace(ASKED, model=str(given), images=images), False)
        ingest = None if given == run else toys.ingest
        facts = evaluate(settled, toys.out(), ingest=ingest, **UNTRAINED)
        names = ("top1", "log_loss", "roc_auc", "count", "accepted", "trained_on")
        assert {name: facts[name] for name in names} == pytest.approx({name: own[name] for name in names}, rel=1e-4)
        assert "temperature" in facts
    everything = evaluate(replace(settled, split=Split.all), toys.out(), ingest=toys.ingest, **UNTRAINED)
    assert everything["count"] == sum(toys.ingest.facts[split] for split in ("train", "validation", "test"))
    assert everything["trained_on"] == toys.ingest.facts["train"]
    said = f"{everything['trained_on']} of {everything['count']} photos trained this model, "
    assert said + f"{toys.ingest.facts['validation']} validated it" in everything["headline"]
    with pytest.raises(UserError, match="is not a run, so it has no photos of its own"):
        settle_model(replace(ASKED, model=str(run / "artifacts/export/model.onnx")), False)
    strange = toys.out()
    shutil.copytree(toys.ingest.path, strange, dirs_exist_ok=True)
    (strange / "labels.txt").write_text("ant\nbee\ndog\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"classes that the model does not know: dog\. It knows: ant, bee, cat"):
        evaluate(settled, toys.out(), ingest=replace(toys.ingest, path=strange), **UNTRAINED)


def test_the_photos_that_trained_a_given_model_are_found_or_not_known(toys, trained, tmp_path):
    from slimline.stages.export import export
    from slimline.stages.exporting.config import ExportConfig
    from slimline.stages.models.formats import Format

    run = tmp_path / "run"
    exported = run / "artifacts/export"
    exported.mkdir(parents=True)
    out = toys.out()
    facts = evaluate(ASKED, out, **toys.trained(trained))
    made = Artifact("evaluate", "k", 1, out, "e", 0.0, facts, {})
    export(
        ExportConfig([Format.saved_model, Format.litert]), exported, ingest=toys.ingest, train=trained, evaluate=made
    )
    (run / "artifacts/ingest").symlink_to(toys.ingest.path)

    def settled(model):
        return settle_model(replace(ASKED, model=str(model), images="others", split=Split.train), False)

    listed = exported / "training_photos.parquet"
    for model in (run, exported, exported / "saved_model", exported / "model.tflite"):
        assert settled(model).trained_on == str(listed)
    copied = tmp_path / "copied"
    shutil.copytree(exported, copied)
    assert settled(copied / "model.tflite").trained_on == str(copied / listed.name)
    listed.rename(tmp_path / listed.name)  # an export of an earlier version, inside its run
    for model in (run, exported, exported / "saved_model", exported / "model.tflite"):
        assert settled(model).trained_on == str(toys.ingest.path / "index.parquet")
        facts = evaluate(settled(model), toys.out(), ingest=toys.ingest, **UNTRAINED)
        assert facts["trained_on"] == facts["count"] == toys.ingest.facts["train"]
    (copied / listed.name).unlink()  # and one that was copied out of it
    unknown = settled(copied / "model.tflite")
    assert unknown.trained_on is None
    out = toys.out()
    facts = evaluate(unknown, out, ingest=toys.ingest, **UNTRAINED)
    assert "trained_on" not in facts
    assert json.loads((out / "metrics.json").read_text(encoding="utf-8"))["trained_on"] is None
    assert "not known whether these photos trained this model" in facts["headline"]
    assert "that training never saw" not in facts["headline"]
    asked = replace(ASKED, model=str(copied), images="others", trained_on=str(tmp_path / listed.name))
    assert settle_model(asked, False).trained_on == str(tmp_path / listed.name)
    with pytest.raises(UserError, match=r"evaluate\.trained_on=/gone does not exist"):
        settle_model(replace(asked, trained_on="/gone"), False)
    with pytest.raises(UserError, match=r"evaluate\.trained_on=/gone needs a model"):
        settle_model(replace(ASKED, trained_on="/gone"), False)


def test_slices_are_columns_that_ingest_kept_from_a_manifest(toys, trained, tmp_path):
    draw_photos(tmp_path, 30)
    lines = ["path,label,split,camera"]
    for path in sorted(tmp_path.rglob("*.png")):
        number = int(path.stem)
        lines.append(f"{path.relative_to(tmp_path)},{path.parent.name},test,{('old', 'new', '')[number % 3]}")
        lines[-1] = lines[-1].replace(",test,", f",{('test', 'train', 'val')[number // 3 % 3]},")
    (tmp_path / "list.csv").write_text("\n".join(lines), encoding="utf-8")
    out = toys.out()
    columns = ColumnsConfig(keep=["camera"])
    asked = settle_source(IngestConfig(images=str(tmp_path / "list.csv"), seed=0, columns=columns), False)
    photos = Artifact("ingest", "k", 1, out, "i", 0.0, ingest_stage(asked, out), {})
    found = toys.out()
    evaluate(replace(ASKED, slices=["camera", "format"]), found, **{**toys.trained(trained), "ingest": photos})
    metrics = json.loads((found / "metrics.json").read_text(encoding="utf-8"))
    cameras = metrics["slices"]["camera"]
    assert set(cameras) == {"old", "new", "(none)"}
    assert sum(row["count"] for row in cameras.values()) == metrics["count"] == photos.facts["test"]
    rows = pq.read_table(found / "predictions.parquet").to_pylist()
    old = [row["label"] == row["predicted"] for row in rows if int(row["filename"].split("/")[-1][:-4]) % 3 == 0]
    assert cameras["old"]["top1"] == np.mean(old)
    assert cameras["old"]["interval"][0] <= cameras["old"]["top1"] <= cameras["old"]["interval"][1]
    assert set(metrics["slices"]["format"]) == {"png"}
    with pytest.raises(
        UserError,
        match=r"evaluate\.slices names the column 'site', but the index has only camera, format, group, note",
    ):
        evaluate(replace(ASKED, slices=["site"]), toys.out(), **{**toys.trained(trained), "ingest": photos})
    with pytest.raises(UserError, match=r"list\.csv has no column 'site'"):
        wrong = replace(asked, columns=ColumnsConfig(keep=["site"]))
        ingest_stage(wrong, toys.out())
