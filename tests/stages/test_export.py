"""Export: every format is written, loaded by its own runtime, and left out if its predictions differ too much."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from slimline.pipeline.artifact import Artifact, content_digest
from slimline.pipeline.errors import UserError
from slimline.stages.data.storing.photos import Photos
from slimline.stages.evaluate import evaluate
from slimline.stages.evaluation.config import EvaluateConfig, Split
from slimline.stages.export import export
from slimline.stages.exporting import export as exporting
from slimline.stages.exporting.card_facts import read_card_facts
from slimline.stages.exporting.config import ExportConfig
from slimline.stages.exporting.measurements import read_formats
from slimline.stages.exporting.writers import Material, write_format
from slimline.stages.models.description import parse_description, read_description
from slimline.stages.models.formats import DESCRIPTION, EVALUATED_MODEL, FILES, Format, find_model, format_of
from slimline.stages.models.runtimes import onnx_description, open_runtime
from slimline.stages.models.saved_model import SavedModel, open_saved_model
from slimline.stages.pages.model_card import model_card
from slimline.stages.table import STAGES
from tests.stages.toy_training import CLASSES, SIDE, config, phase
from tests.tiers import release

pytestmark = pytest.mark.slow

FLOAT = (Format.saved_model, Format.frozen_graph, Format.litert, Format.onnx)


@pytest.fixture(scope="module")
def trained(toys) -> dict[str, Artifact]:
    out = toys.out()
    facts = toys.train(config(phase("all", epochs=6)), out)
    made = {"ingest": toys.ingest, "train": Artifact("train", "k", 1, out, "t", 0.0, facts, {})}
    out = toys.out()
    facts = evaluate(EvaluateConfig(seed=0), out, **toys.trained(made["train"]))
    return {**made, "evaluate": Artifact("evaluate", "k", 1, out, "e", 0.0, facts, {})}


@pytest.fixture(scope="module")
def exported(toys, trained) -> Path:
    out = toys.out()
    facts = export(ExportConfig(list(Format), calibration_photos=30, max_changed_int8=0.2), out, **trained)
    assert facts["formats"] == [one.name for one in Format]
    return out


def images() -> np.ndarray:
    return np.random.default_rng(0).uniform(-2, 2, (5, SIDE, SIDE, 3)).astype(np.float32)


@pytest.mark.parametrize("one", list(Format))
def test_every_format_gives_the_logits_of_the_evaluated_model(trained, exported, one):
    logits = open_runtime(Format.frozen_graph, trained["evaluate"].path / "frozen.pb")(images())
    found = open_runtime(one, exported / FILES[one])(images())
    assert found.shape == logits.shape == (5, len(CLASSES))
    spread = np.ptp(logits)
    assert np.abs(found - logits).max() < spread * (1e-5 if one in FLOAT else 2e-3 if "16" in one.name else 0.1)


def test_the_measurements_of_each_format(trained, exported):
    found = read_formats(exported)
    assert list(found) == [one.name for one in Format]
    photos = trained["evaluate"].facts["count"]
    for one in Format:
        row = found[one.name]
        assert row["checked"] == photos
        assert 0 < row["latency_seconds"] <= row["latency_p95_seconds"]
        assert row["images_per_second"] > 0
        path = exported / row["file"]
        assert path.exists()
        if path.is_file():
            assert row["size_mb"] == path.stat().st_size / 1e6
        if one in FLOAT:
            assert row["changed"] == 0
            assert row["top1"] == trained["evaluate"].facts["top1"]
    assert found["litert_int8"]["size_mb"] < found["litert"]["size_mb"]


def test_every_format_has_the_description(trained, exported):
    described = read_description(exported / FILES[Format.litert])
    assert described.labels == list(CLASSES)
    assert described.preprocessing.input_px == SIDE
    assert described.calibration.temperature == trained["evaluate"].facts["temperature"]
    assert not described.trained
    inside = onnx_description(exported / FILES[Format.onnx])
    assert inside
    assert parse_description(inside, exported) == described
    loaded = SavedModel(exported / FILES[Format.saved_model])
    assert loaded.labels == described.labels
    assert loaded.reject_threshold == (described.calibration.threshold or 0.0)


def test_the_saved_models_probabilities_are_the_evaluated_ones(trained, exported, toys):
    classify, photos = SavedModel(exported / FILES[Format.saved_model]), Photos(toys.ingest.path, "test")
    rows = pq.read_table(trained["evaluate"].path / "predictions.parquet").to_pylist()
    said = {row["sha256"]: row["probabilities"] for row in rows}
    assert len(said) == len(photos)
    for number, key in enumerate(photos.keys):
        assert classify([photos.encoded(number)])[0] == pytest.approx(said[key], abs=1e-5)


def test_equal_saved_models_are_loaded_once(exported, trained, tmp_path):
    first = open_saved_model(exported / FILES[Format.saved_model])
    assert open_saved_model(trained["evaluate"].path / EVALUATED_MODEL) is first
    changed = tmp_path / "changed"
    shutil.copytree(exported / FILES[Format.saved_model], changed)
    (changed / "fingerprint.pb").unlink()
    assert open_saved_model(changed) is not first


def test_a_model_that_is_opened_already_gives_the_same_logits(trained, toys):
    path, photos = trained["evaluate"].path / EVALUATED_MODEL, Photos(toys.ingest.path, "test")
    encoded = [photos.encoded(number) for number in range(len(photos))]
    open_saved_model(path).logits(encoded[:1])
    reused, fresh = open_saved_model(path), SavedModel(path)
    assert np.array_equal(reused.logits(encoded), fresh.logits(encoded))


def spoil(material: Material, values: dict, folder: Path) -> Material:
    """Return the inputs of an export whose last layer has negated weights, written into a folder."""
    from slimline.stages.backend.tensorflow import tf
    from slimline.stages.models.saved_model import write_saved_model

    graph_def = tf.compat.v1.GraphDef.FromString(material.frozen.read_bytes())
    [weights] = [node for node in graph_def.node if node.name == "Head/Logits/weights"]
    weights.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(-tf.make_ndarray(weights.attr["value"].tensor)))
    made = material._replace(frozen=folder / "spoiled.pb", saved_model=folder / "spoiled")
    made.frozen.write_bytes(graph_def.SerializeToString())
    write_saved_model(made.saved_model, material.card, made.frozen, values, material.description.calibration)
    return made


@pytest.mark.parametrize("one", release(Format, (Format.frozen_graph, Format.litert_dynamic, Format.litert_float16)))
def test_a_spoiled_model_is_not_kept(toys, trained, monkeypatch, one):
    values = toys.model(trained["train"].path).weights()

    def spoiled(one, material, folder):
        return write_format(one, spoil(material, values, folder), folder)

    monkeypatch.setattr(exporting, "write_format", spoiled)
    said = rf"every format failed\.\n{one.name} was left out of the export: it classifies \d+ of \d+ photos differently"
    with pytest.raises(UserError, match=said) as caught:
        export(ExportConfig([one], calibration_photos=30), toys.out(), **trained)
    assert "For example: " in str(caught.value)
    assert ".png: " in str(caught.value)
    assert ("max_changed_int8" in str(caught.value)) == (one in (Format.litert_dynamic, Format.litert_int8))


def test_a_format_that_differs_is_left_out_and_the_others_are_kept(toys, trained, monkeypatch):
    values = toys.model(trained["train"].path).weights()

    def spoiled(one, material, folder):
        material = spoil(material, values, toys.out()) if one in (Format.litert, Format.saved_model) else material
        return write_format(one, material, folder)

    monkeypatch.setattr(exporting, "write_format", spoiled)
    asked = ExportConfig([Format.saved_model, Format.frozen_graph, Format.litert, Format.onnx])
    out = toys.out()
    facts = export(asked, out, **trained)
    assert facts["formats"] == ["frozen_graph", "onnx"]
    assert facts["headline"] == "model     {path}/frozen_graph.pb"
    first, second = facts["failures"]
    assert first.startswith("saved_model was left out of the export: it classifies ")
    assert second.startswith("litert was left out of the export: it classifies ")
    assert second.endswith("To keep it, raise export.max_changed.")
    assert not (out / FILES[Format.saved_model]).exists()
    assert not (out / FILES[Format.litert]).exists()
    assert list(read_formats(out)) == list(read_card_facts(out)["formats"]) == facts["formats"]
    assert "FormatFailed" in (out / "logs/litert.txt").read_text(encoding="utf-8")


class Converter:
    """A converter that fails as LiteRT's and tf2onnx's do, with errors of their own types."""

    error: Exception = RuntimeError("Unsupported operation Foo\nand a long dump")

    def convert(self, *given, **named):
        raise self.error

    from_graph_def = convert


@pytest.mark.parametrize("one", [Format.litert, Format.onnx])
def test_a_format_that_cannot_be_converted_is_left_out(toys, trained, monkeypatch, one):
    from slimline.stages.exporting import writers

    monkeypatch.setattr(writers.tf.lite.TFLiteConverter, "from_concrete_functions", lambda *given: Converter())
    monkeypatch.setattr("tf2onnx.convert.from_graph_def", Converter().convert)
    out = toys.out()
    facts = export(ExportConfig([Format.frozen_graph, one]), out, **trained)
    assert facts["formats"] == ["frozen_graph"]
    assert facts["failures"] == [
        f"{one.name} was left out of the export: it cannot be converted: RuntimeError: Unsupported operation Foo"
    ]
    assert "and a long dump" in (out / f"logs/{one.name}.txt").read_text(encoding="utf-8")
    for error in (OSError("disk full"), MemoryError(), UserError("not installed")):  # another time it may succeed
        monkeypatch.setattr(Converter, "error", error)
        with pytest.raises(type(error)):
            export(ExportConfig([Format.frozen_graph, one]), toys.out(), **trained)


@pytest.mark.parametrize("doing", ["opened", "run"])
def test_a_format_that_cannot_be_run_is_left_out(toys, trained, monkeypatch, doing):
    from slimline.stages.exporting import comparison

    def failing(given):
        raise ValueError("no kernel for Foo")

    def opened(one, path):
        return failing(path) if doing == "opened" else failing

    def runtime(one, path):
        return opened(one, path) if one is Format.litert else open_runtime(one, path)

    monkeypatch.setattr(comparison, "open_runtime", runtime)
    facts = export(ExportConfig([Format.litert, Format.frozen_graph]), toys.out(), **trained)
    assert facts["formats"] == ["frozen_graph"]
    assert facts["failures"] == [
        f"litert was left out of the export: it cannot be {doing}: ValueError: no kernel for Foo"
    ]


@pytest.mark.parametrize(
    ("one", "share", "photos", "allowed"),
    [
        (Format.onnx, 0.005, 18, 1),
        (Format.onnx, 0.005, 399, 1),
        (Format.onnx, 0.005, 400, 2),
        (Format.onnx, 0.07, 100, 7),
        (Format.litert_int8, 0.03, 5, 1),
        (Format.litert_int8, 0.03, 307, 9),
        (Format.onnx, 0.0, 307, 0),
        (Format.onnx, 1.0, 3, 3),
    ],
)
def test_one_photo_may_differ_even_if_the_share_is_less_than_one(one, share, photos, allowed):
    setting = "max_changed_int8" if one is Format.litert_int8 else "max_changed"
    assert ExportConfig(**{setting: share}).most_changed(one, photos) == allowed


@pytest.mark.parametrize("changed", [1, 2])
def test_a_format_with_one_changed_photo_of_a_few_is_kept(toys, trained, changed):
    out = toys.out()
    shutil.copytree(trained["evaluate"].path, out, dirs_exist_ok=True)
    rows = pq.read_table(out / "predictions.parquet")
    names = rows["predicted"].to_pylist()
    for place in range(changed):
        names[place] = next(name for name in CLASSES if name != names[place])
    column = rows.column_names.index("predicted")
    pq.write_table(rows.set_column(column, "predicted", pa.array(names)), out / "predictions.parquet")
    given = {**trained, "evaluate": replace(trained["evaluate"], path=out)}
    facts = export(ExportConfig([Format.frozen_graph, Format.litert_int8], max_changed_int8=1.0), toys.out(), **given)
    assert facts["formats"] == ["frozen_graph", "litert_int8"][changed - 1 :]
    assert len(facts["failures"]) == changed - 1
    with pytest.raises(UserError, match=r"frozen_graph was left out .* and export\.max_changed allows 0\."):
        export(ExportConfig([Format.frozen_graph], max_changed=0.0), toys.out(), **given)


@pytest.mark.parametrize(
    ("formats", "absent", "said"),
    [
        ([Format.saved_model, Format.onnx], {"tf2onnx"}, "export.formats=onnx needs .* not installed: tf2onnx"),
        ([Format.onnx], {"onnx", "onnxruntime"}, "not installed: onnx, onnxruntime"),
        ([Format.litert_int8], {"ai_edge_litert"}, "export.formats=litert_int8 .* not installed: ai-edge-litert"),
    ],
)
def test_packages_that_are_not_installed_are_told_before_anything_runs(monkeypatch, formats, absent, said):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name, *more: None if name in absent else find_spec(name, *more)
    )
    with pytest.raises(UserError, match=said) as caught:
        STAGES["export"].resolve(ExportConfig(formats), False)
    assert "pip install " in str(caught.value)
    assert f"Or remove {formats[-1].name} from export.formats." in str(caught.value)
    assert STAGES["export"].resolve(ExportConfig([Format.saved_model]), False).formats == [Format.saved_model]


def test_a_model_whose_runtime_is_not_installed_is_told_before_anything_runs(exported, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *more: None)
    assert find_model(str(exported), "evaluate.model") == exported / "saved_model"
    with pytest.raises(UserError, match=r"evaluate\.model=.*model\.onnx needs .* not installed: onnxruntime"):
        find_model(str(exported / "model.onnx"), "evaluate.model")


def test_a_model_that_was_evaluated_on_all_photos_is_exported(toys, trained):
    out = toys.out()
    given = {name: trained[name] for name in ("ingest", "train")}
    facts = evaluate(EvaluateConfig(seed=0, split=Split.all), out, **toys.trained(given["train"]))
    given["evaluate"] = Artifact("evaluate", "k", 1, out, "e", 0.0, facts, {})
    facts = export(ExportConfig([Format.frozen_graph]), toys.out(), **given)
    assert facts["checked"] == sum(toys.ingest.facts[split] for split in ("train", "validation", "test"))


def test_the_saved_model_equals_the_evaluated_one_and_is_checked_again(toys, trained, exported):
    evaluated = trained["evaluate"].path / EVALUATED_MODEL
    assert content_digest(exported / FILES[Format.saved_model], {}) == content_digest(evaluated, {})
    out = toys.out()
    shutil.copytree(trained["evaluate"].path, out, dirs_exist_ok=True)
    rows = pq.read_table(out / "predictions.parquet")
    places = rows["predicted"].to_pylist()
    others = [next(name for name in CLASSES if name != place) for place in places]
    column = rows.column_names.index("predicted")
    pq.write_table(rows.set_column(column, "predicted", pa.array(others)), out / "predictions.parquet")
    with pytest.raises(UserError, match=r"saved_model was left out .* it classifies \d+ of \d+ photos differently"):
        export(ExportConfig(), toys.out(), **{**trained, "evaluate": replace(trained["evaluate"], path=out)})


def test_formats_are_recognized_by_their_files(exported, tmp_path):
    for one in FLOAT:
        assert format_of(exported / FILES[one]) is one
    with pytest.raises(UserError, match=r"labels\.txt is not an exported model"):
        format_of(exported / "labels.txt")
    with pytest.raises(UserError, match=r"gone\.onnx is not an exported model"):
        format_of(tmp_path / "gone.onnx")


def test_a_model_without_its_description_is_refused(exported, tmp_path):
    alone = tmp_path / "model.tflite"
    alone.write_bytes((exported / FILES[Format.litert]).read_bytes())
    with pytest.raises(UserError, match=r"has no model\.json next to it"):
        read_description(alone)
    (tmp_path / DESCRIPTION).write_text('{"version": 2}', encoding="utf-8")
    with pytest.raises(UserError, match="it has version 2, but only version 1 is supported"):
        read_description(alone)
    (tmp_path / DESCRIPTION).write_text("[]", encoding="utf-8")
    with pytest.raises(UserError, match="doesn't describe a model"):
        read_description(alone)


@pytest.mark.parametrize("formats", [[], [Format.onnx, Format.onnx]])
def test_no_formats_and_duplicate_formats_are_refused(formats):
    with pytest.raises(UserError, match=r"export\.formats="):
        ExportConfig(formats)


def test_the_model_cards_python_code_runs_without_slimline(exported, toys, tmp_path):
    """Run the code of the model card in a separate folder, where this project cannot be imported."""
    text = model_card(read_card_facts(exported))
    [lines] = re.findall(r"```python\n(.*?)```", text, re.S)
    assert len(lines.splitlines()) <= 10
    assert "stages" not in lines
    (tmp_path / "saved_model").symlink_to(exported / FILES[Format.saved_model])
    photo = Photos(toys.ingest.path, "test").encoded(0)
    (tmp_path / "photo.jpg").write_bytes(photo)
    (tmp_path / "ask.py").write_text(lines, encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-P", "ask.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    said = [line.rsplit(" ", 1) for line in done.stdout.splitlines()]
    [scores] = SavedModel(exported / FILES[Format.saved_model])([photo])
    wanted = sorted(zip(scores, CLASSES, strict=True), reverse=True)
    assert [(name, float(score)) for name, score in said] == [
        (name, pytest.approx(score, abs=1e-4)) for score, name in wanted
    ]


def test_an_export_has_the_facts_of_the_card_but_not_its_text(trained, exported):
    assert not list(exported.rglob("*.md"))
    found = read_card_facts(exported)
    facts = trained["evaluate"].facts
    assert (found["metrics"]["top1"], found["metrics"]["count"]) == (facts["top1"], facts["count"])
    assert found["labels"] == list(found["metrics"]["per_class"]) == list(CLASSES)
    assert found["data"]["train"] == trained["ingest"].facts["train"]
    assert list(found["formats"]) == [one.name for one in Format]
    text = model_card(found)
    assert f"{facts['top1']:.1%} are classified correctly" in text
    assert "UNTRAINED" in text
    assert "| litert_int8 |" in text
    assert "image_bytes" in text


@pytest.mark.parametrize("kind", ["linear", "mlp", "flips"])
def test_the_saved_model_has_a_signature_for_features(toys, kind):
    """With average_flips, the features are the mean over a photo and its mirror image."""
    from slimline.stages.backend.tensorflow import tf
    from slimline.stages.models.assemble import base_network
    from slimline.stages.models.card import input_shape
    from slimline.stages.networks.graphs.module import freeze

    made = {"ingest": toys.ingest}
    out = toys.out()
    asked = config(phase("head", epochs=1), average_flips=kind == "flips")
    head = toys.make_mlp() if kind == "mlp" else toys.head
    facts = toys.train(asked, out, head=head)
    made["train"] = Artifact("train", "k", 1, out, "t", 0.0, facts, {})
    out = toys.out()
    facts = evaluate(EvaluateConfig(seed=0), out, **toys.trained(made["train"], head))
    made["evaluate"] = Artifact("evaluate", "k", 1, out, "e", 0.0, facts, {})
    out = toys.out()
    formats = [Format.saved_model, *([Format.litert, Format.litert_int8, Format.onnx] if kind == "flips" else [])]
    assert export(ExportConfig(formats=formats, max_changed_int8=1), out, **made)["changed"] == 0
    loaded = tf.saved_model.load(str(out / FILES[Format.saved_model]))
    found = loaded.signatures["features"](image=tf.constant(images()))["features"].numpy()
    model = toys.model(made["train"].path, head)
    card = model.card()
    bottleneck = freeze(base_network(card), model.weights(), input_shape(card))
    wanted = bottleneck(tf.constant(images())).numpy()
    if kind == "flips":
        wanted = (wanted + bottleneck(tf.constant(images()[:, :, ::-1])).numpy()) / 2
    assert found == pytest.approx(wanted, abs=1e-4)
