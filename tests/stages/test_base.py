"""The base stage: any network from any weights, or a clear error."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from slimline.pipeline.errors import UserError
from slimline.stages.base import base
from slimline.stages.images.preprocessing_config import Crop, Resize
from slimline.stages.models.base_config import BaseConfig, FrozenGraphConfig, MobilenetConfig
from slimline.stages.models.base_settle import find_graph, find_labels, settle_weights

pytestmark = pytest.mark.slow

SMALL = {"network": "mobilenet_v1", "multiplier": 0.25, "size": 64}


def make(out: Path, config: BaseConfig) -> dict:
    out.mkdir(parents=True)
    return base(settle_weights(config, False), out)


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    """The checkpoint of a small network with random weights."""
    folder = tmp_path_factory.mktemp("small")
    make(folder / "base", MobilenetConfig(**SMALL, weights="random", seed=3))
    return folder / "base"


def restored(folder: Path) -> dict[str, list[str]]:
    return json.loads((folder / "restore.json").read_text())


def test_a_random_base_says_that_it_is_untrained(small, tmp_path):
    from slimline.stages.models.card import read_card

    facts = make(tmp_path / "again", MobilenetConfig(**SMALL, weights="random", seed=3))
    assert facts["weights"] == "random"
    assert "UNTRAINED" in facts["headline"]
    card = read_card(small)
    assert not card.trained
    assert card.labels == []
    assert restored(small)["restored"] == []
    assert len(restored(small)["new"]) == 135


def test_the_seed_decides_the_random_weights(small, tmp_path):
    from slimline.stages.networks.weights.checkpoint import read_checkpoint

    make(tmp_path / "same", MobilenetConfig(**SMALL, weights="random", seed=3))
    make(tmp_path / "other", MobilenetConfig(**SMALL, weights="random", seed=4))
    name = "MobilenetV1/Conv2d_0/weights"
    first, same, other = (
        read_checkpoint(path / "model.ckpt")[name] for path in (small, *map(tmp_path.joinpath, ("same", "other")))
    )
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)


def test_a_checkpoint_is_restored_by_name(small, tmp_path):
    facts = make(tmp_path / "base", MobilenetConfig(**SMALL, weights=str(small / "model.ckpt")))
    assert (facts["restored"], facts["new"], facts["unused"]) == (135, 0, 0)
    assert facts["self_test"] == "none: no ImageNet layer"
    assert facts["feature_width"] == 256
    assert (tmp_path / "base/model.ckpt.index").exists()


def test_the_key_contains_the_weights_and_not_their_path(small, tmp_path):
    from slimline.pipeline.content import ContentDigests
    from slimline.pipeline.keys import tracked

    for path in small.glob("model.ckpt*"):
        (tmp_path / path.name.replace("model", "copy")).write_bytes(path.read_bytes())
    contents = ContentDigests(tmp_path / "digests.sqlite")
    here, there = (
        tracked(settle_weights(MobilenetConfig(**SMALL, weights=str(path)), False), contents)
        for path in (small / "model.ckpt", tmp_path / "copy.ckpt")
    )
    assert here == there
    assert len(here["weights_sha256"]) == 64


def test_excluded_scopes_are_initialized_at_random(small, tmp_path):
    from slimline.stages.networks.weights.checkpoint import read_checkpoint

    scope = "MobilenetV1/Conv2d_13_pointwise"
    make(tmp_path / "base", MobilenetConfig(**SMALL, weights=str(small), exclude_scopes=[scope], seed=8))
    assert restored(tmp_path / "base")["new"] == [
        f"{scope}/BatchNorm/{part}" for part in ("beta", "gamma", "moving_mean", "moving_variance")
    ] + [f"{scope}/weights"]
    before, after = (read_checkpoint(path / "model.ckpt") for path in (small, tmp_path / "base"))
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert changed == {f"{scope}/weights"}


def test_weights_of_another_network_are_refused(small, tmp_path):
    with pytest.raises(UserError, match=r"Only 0\.0% of the network's parameters"):
        make(tmp_path / "v2", MobilenetConfig("mobilenet_v2", size=64, multiplier=0.35, weights=str(small)))
    with pytest.raises(UserError, match=r"variables of model\.ckpt have other shapes"):
        make(tmp_path / "wide", MobilenetConfig("mobilenet_v1", size=64, multiplier=0.5, weights=str(small)))


def test_a_checkpoint_of_tensorflow_2_is_read_by_its_variables_names(small, tmp_path):
    from slimline.stages.backend.tensorflow import tf
    from slimline.stages.models.assemble import base_network, build
    from slimline.stages.models.card import read_card
    from slimline.stages.networks.weights.checkpoint import read_checkpoint

    card, values = read_card(small), read_checkpoint(small / "model.ckpt")
    module = build(card, base_network(card), values)
    tf.train.Checkpoint(module=module).write(str(tmp_path / "tf2"))
    facts = make(tmp_path / "base", MobilenetConfig(**SMALL, weights=str(tmp_path / "tf2")))
    assert facts["restored"] == 135
    assert read_checkpoint(tmp_path / "base/model.ckpt").keys() == values.keys()


@pytest.mark.parametrize(
    ("network", "options"),
    [
        ("mobilenet_v1", {"multiplier": 0.25, "size": 64}),
        # TF-Slim's own networks name their operations differently from their variables.
        ("inception_v1", {"size": 64}),
    ],
)
def test_the_weights_of_an_exported_saved_model_are_read(network, options, tmp_path):
    from slimline.stages.models.assemble import classifier_network, freeze_classifier, read_weights
    from slimline.stages.models.card import Card
    from slimline.stages.models.saved_model import SavedModel, write_saved_model
    from slimline.stages.networks.graphs.folding import write_frozen
    from slimline.stages.networks.graphs.module import outline
    from slimline.stages.networks.table import NETWORKS
    from slimline.stages.networks.weights.checkpoint import write_checkpoint
    from slimline.stages.scoring.calibration import Calibration

    preprocessing = replace(NETWORKS[network].preprocessing, input_px=64)
    card = Card(network, preprocessing, ["a", "b"], {"dropout": 0.0}, "random", "", options.get("multiplier", 1.0))
    numbers = np.random.default_rng(0)
    declared = outline(classifier_network(card), (64, 64, 3)).variables
    values = {
        name: (
            numbers.uniform(0.5, 1.5, one.shape) if "moving_var" in name else numbers.normal(0, 0.3, one.shape)
        ).astype("f4")
        for name, one in declared.items()
    }
    write_checkpoint(tmp_path / "best.ckpt", values)
    write_frozen(tmp_path / "frozen.pb", freeze_classifier(card, tmp_path / "best.ckpt"))
    calibration = Calibration(2.0, 0.6)
    write_saved_model(
        tmp_path / "model", card, tmp_path / "frozen.pb", read_weights(tmp_path / "best.ckpt"), calibration
    )
    loaded = SavedModel(tmp_path / "model")
    assert not loaded.trained
    assert loaded.reject_threshold == 0.6
    written = sum(path.stat().st_size for path in (tmp_path / "model").rglob("*") if path.is_file())
    assert written < 1.1 * sum(value.nbytes for value in values.values()) + 1_000_000  # no kernel is stored twice
    kind = MobilenetConfig if "multiplier" in options else BaseConfig
    facts = make(tmp_path / "base", kind(network, **options, weights=str(tmp_path / "model")))
    assert (facts["restored"], facts["new"], facts["unused"]) == (len(values) - 2, 0, 2)
    back = read_weights(tmp_path / "base/model.ckpt")
    for name, value in back.items():
        assert np.allclose(value, values[name], rtol=1e-4, atol=1e-6), name


def test_weights_of_the_nearest_size_are_used_for_the_user_s_size(monkeypatch):
    asked = []
    monkeypatch.setattr(
        "slimline.stages.networks.weights.cache.locate",
        lambda published, **_: asked.append(published) or (published[0], Path(__file__)),
    )
    for size, file in ((None, "224"), (300, "224"), (170, "160"), (64, "128")):
        settle_weights(MobilenetConfig("mobilenet_v1", size=size), False)
        assert f"mobilenet_1_0_{file}_tf.h5" in asked[-1][0].file


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (lambda: BaseConfig("inception_v5"), "inception_v5"),
        (lambda: BaseConfig("inception_v3", size=8), "base.size=8 is out of range"),
        (lambda: MobilenetConfig("mobilenet_v1", multiplier=0.3), "Choose one of: 1, 0.75, 0.5, 0.25"),
        (
            lambda: FrozenGraphConfig("frozen_graph", size=None, graph="x.pb", input="a", bottleneck="b"),
            "base.size has no value",
        ),
        (lambda: FrozenGraphConfig("frozen_graph", size=64, weights="random"), "which contains its weights"),
        (lambda: FrozenGraphConfig("frozen_graph", size=64, scale=0), "base.scale=0"),
        (lambda: FrozenGraphConfig("frozen_graph", size=64, scale=-1.0), "base.scale=-1.0"),
        (lambda: FrozenGraphConfig("frozen_graph", size=64, crop_fraction=1.5), "base.crop_fraction=1.5"),
        (
            lambda: FrozenGraphConfig("frozen_graph", size=64, crop=Crop.vgg, resize=Resize.bicubic),
            "base.resize='bicubic' can't be used with crop='vgg'; use 'legacy_bilinear'",
        ),
    ],
)
def test_invalid_configs_are_refused_before_anything_runs(config, words):
    with pytest.raises(UserError) as caught:
        config()
    assert words in str(caught.value)


def test_a_graph_may_be_the_only_one_in_a_folder(tmp_path):
    with pytest.raises(UserError, match=r"contains 0 files that end in \.pb"):
        find_graph(str(tmp_path))
    (tmp_path / "classify_image_graph_def.pb").write_text("g")
    assert find_graph(str(tmp_path)) == tmp_path / "classify_image_graph_def.pb"
    assert find_labels(None, tmp_path / "classify_image_graph_def.pb") is None
    (tmp_path / "imagenet_2012_challenge_label_map_proto.pbtxt").write_text("entry {}")
    assert find_labels(None, tmp_path / "classify_image_graph_def.pb") == str(tmp_path)
    (tmp_path / "other.pb").write_text("g")
    with pytest.raises(UserError, match=r"Choose one: classify_image_graph_def\.pb, other\.pb"):
        find_graph(str(tmp_path))
    (tmp_path / "saved_model.pb").write_text("s")
    with pytest.raises(UserError, match="is a SavedModel"):
        find_graph(str(tmp_path))
