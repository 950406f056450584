"""Kept features: the head on features from a memo gives the outputs of the whole model, to the last bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from slimline.pipeline.artifact import Artifact
from slimline.pipeline.memo import Memo
from slimline.stages.backend.tensorflow import tf
from slimline.stages.data.storing.photos import Photos
from slimline.stages.evaluate import evaluate
from slimline.stages.evaluation.config import EvaluateConfig, Split
from slimline.stages.evaluation.kept_features import kept_features
from slimline.stages.images.batches import BATCH_SIZE, padded
from slimline.stages.models.formats import EVALUATED_GRAPH, EVALUATED_MODEL
from slimline.stages.models.saved_model import open_saved_model
from slimline.stages.models.trained import trained_head_only
from slimline.stages.networks.architectures.head_scope import SCOPE
from slimline.stages.networks.graphs.folding import read_frozen
from slimline.stages.networks.graphs.halves import read_halves
from slimline.stages.pages import occlusion_maps as pictures
from slimline.stages.scoring.calibration import read_calibration
from slimline.stages.scoring.probabilities import probabilities
from tests.stages.toy_training import SIDE, config, phase

pytestmark = pytest.mark.slow

ASKED = EvaluateConfig(seed=0, top=[2], split=Split.all, resamples=100)
IMAGES = np.random.default_rng(0).normal(0, 1, (BATCH_SIZE, SIDE, SIDE, 3)).astype(np.float32)


def trained_with(toys, *scopes: str, learning_rate: float = 0.005, **settings) -> Artifact:
    out = toys.out()
    asked = config(phase(*scopes), optimizer={"learning_rate": learning_rate})
    return Artifact("train", "k", 1, out, "t", 0.0, toys.train(asked, out, **settings), {})


@pytest.fixture(scope="module")
def trained(toys) -> Artifact:
    return trained_with(toys, "head")


@pytest.fixture(scope="module")
def other(toys) -> Artifact:
    return trained_with(toys, "head", learning_rate=0.002)


@pytest.fixture(scope="module")
def tuned(toys) -> Artifact:
    return trained_with(toys, "head", "Toy/Conv_2")


def evaluated(toys, train: Artifact, memo: Memo) -> Path:
    out = toys.out()
    evaluate(ASKED, out, **{**toys.trained(train), "memo": memo})
    return out


def assert_of_the_whole_model(toys, out: Path) -> None:
    """Check that the probabilities of an evaluation are those of its SavedModel, from the photos' bytes."""
    run = padded(open_saved_model(out / EVALUATED_MODEL).logits, BATCH_SIZE)
    photos = Photos(toys.ingest.path, "all")
    encoded = [photos.encoded(number) for number in range(len(photos))]
    batches = [encoded[start : start + BATCH_SIZE] for start in range(0, len(encoded), BATCH_SIZE)]
    logits = dict(zip(photos.keys, np.concatenate([run(batch) for batch in batches]), strict=True))
    rows = pq.read_table(out / "predictions.parquet").to_pylist()
    wanted = np.array([logits[row["sha256"]] for row in rows])
    scores = probabilities(wanted / read_calibration(out).temperature)
    assert np.array([row["probabilities"] for row in rows]).tobytes() == scores.tobytes()


def test_another_heads_predictions_from_kept_features_are_those_of_the_whole_model(toys, trained, other, tmp_path):
    memo = Memo(tmp_path, {}, {})
    first = evaluated(toys, trained, memo)
    total = sum(toys.ingest.facts[split] for split in ("train", "validation", "test"))
    assert memo.notes == {"computed": total}
    assert_of_the_whole_model(toys, first)
    second = evaluated(toys, other, memo)
    assert memo.notes == {"computed": 0}
    assert_of_the_whole_model(toys, second)
    alone = evaluated(toys, other, Memo(tmp_path / "empty", {}, {}))
    for name in ("metrics.json", "predictions.parquet", "curves.parquet", "calibration.json", EVALUATED_GRAPH):
        assert (second / name).read_bytes() == (alone / name).read_bytes(), name
    assert (first / "predictions.parquet").read_bytes() != (second / "predictions.parquet").read_bytes()


def test_a_model_whose_lower_layers_were_trained_is_run_whole(toys, trained, tuned, tmp_path):
    memo = Memo(tmp_path, {}, {})
    evaluated(toys, trained, memo)
    memo.notes.clear()
    out = evaluated(toys, tuned, memo)
    assert memo.notes == {}
    assert_of_the_whole_model(toys, out)
    assert [trained_head_only(one.path) for one in (trained, tuned)] == [True, False]


def test_the_digest_is_that_of_the_layers_below_the_head(toys, trained, other, tuned, tmp_path):
    memo = Memo(tmp_path, {}, {})
    mlp = toys.make_mlp()
    wide = trained_with(toys, "head", head=mlp)
    out = toys.out()
    evaluate(ASKED, out, **{**toys.trained(wide, mlp), "memo": memo})
    files = [evaluated(toys, train, memo) / EVALUATED_GRAPH for train in (trained, other, tuned)] + [
        out / EVALUATED_GRAPH
    ]
    halves = [read_halves(path, SCOPE) for path in files]
    digests = [one.digest for one in halves]
    assert digests[0] == digests[1] == digests[3] != digests[2]
    for path, one in zip(files, halves, strict=True):
        features = one.lower()(tf.constant(IMAGES))
        assert features.shape == (BATCH_SIZE, one.width)
        assert one.head(features).numpy().tobytes() == read_frozen(path)(tf.constant(IMAGES)).numpy().tobytes()


def test_a_head_that_also_reads_a_lower_layer_is_not_cut(toys, trained, tmp_path):
    path = evaluated(toys, trained, Memo(tmp_path / "memo", {}, {})) / EVALUATED_GRAPH
    graph_def = tf.compat.v1.GraphDef.FromString(path.read_bytes())
    [output] = [node for node in graph_def.node if node.name == "output"]
    shape = graph_def.node.add(name=f"{SCOPE}/shape", op="Shape", input=["input"])
    shape.attr["T"].type = tf.float32.as_datatype_enum
    shape.attr["out_type"].type = tf.int32.as_datatype_enum
    output.input.append(f"^{SCOPE}/shape")
    (tmp_path / "frozen.pb").write_bytes(graph_def.SerializeToString())
    assert read_halves(tmp_path / "frozen.pb", SCOPE) is None


def test_features_beyond_the_limit_are_used_and_not_kept(toys, trained, tmp_path):
    model, photos = toys.model(trained.path), Photos(toys.ingest.path, "train")
    frozen = evaluated(toys, trained, Memo(tmp_path / "other", {}, {})) / EVALUATED_GRAPH
    named = {str(number): photos.encoded(number) for number in range(BATCH_SIZE + 3)}

    def opened(most_bytes: int):
        return kept_features(frozen, trained.path, model.card(), Memo(tmp_path / "memo", {}, {}), most_bytes)

    full = opened(0)
    assert full.compute(named.items()) == len(named)
    assert full.compute(named.items()) == 0
    assert "0" not in opened(0)
    kept = opened(1)
    assert kept.compute([*named.items(), *named.items()]) == len(named)
    assert "0" in opened(0)
    assert full.outputs(list(named)).tobytes() == opened(0).outputs(list(named)).tobytes()


def test_occlusion_maps_from_kept_features_are_those_of_the_whole_model(toys, trained, other, tmp_path, monkeypatch):
    memo, empty = Memo(tmp_path, {}, {}), Memo(tmp_path / "evaluated", {}, {})
    for train, covers in ((trained, 3), (other, 1)):  # two of the second model's photos were covered for the first
        out = evaluated(toys, train, empty)
        rows = pq.read_table(out / "predictions.parquet").to_pylist()
        rows = [row for row in rows if row["sha256"] in set(Photos(toys.ingest.path, "train").keys)]
        shown = rows[:3] if train is trained else rows[1:4]
        covered = []
        with monkeypatch.context() as patch:
            patch.setattr(
                pictures, "covered", lambda one, made=covered, run=pictures.covered: made.append(1) or run(one)
            )
            found = pictures.occlusion_maps(out, train.path, toys.ingest.path, "train", shown, memo)
        assert len(covered) == covers
        with monkeypatch.context() as patch:
            patch.setattr(pictures, "kept_features", lambda *_: None)
            assert found == pictures.occlusion_maps(out, train.path, toys.ingest.path, "train", shown, memo)
        assert len(set(found)) == 3
