"""Heads that train together, compared with the train stage on each of them alone."""

from __future__ import annotations

import os
import signal
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from slimline.pipeline.artifact import Artifact
from slimline.pipeline.content import ContentDigests
from slimline.pipeline.errors import Stopped, UserError
from slimline.pipeline.keys import key_parts, make_key, settled_choices
from slimline.pipeline.store import Store
from slimline.stages.data.storing.features import feature_scale, read_training_features
from slimline.stages.models.head_config import Activation, HeadConfig, MlpConfig
from slimline.stages.networks.weights.checkpoint import read_checkpoint
from slimline.stages.stack import stack
from slimline.stages.table import DISPLAY_ONLY
from slimline.stages.training import stacked
from slimline.stages.training.config import Keep
from slimline.stages.training.optimizer_config import AdamConfig, AdamwConfig, MomentumConfig, RmspropConfig
from slimline.stages.training.schedule_config import Schedule
from slimline.stages.training.stacked_config import Member, StackConfig
from slimline.stages.training.stacked_groups import initial_values
from tests.stages.toy_training import CLASSES, WIDTH, config, phase, rows

pytestmark = pytest.mark.slow

LINEAR = HeadConfig(seed=0)
MLP = MlpConfig(widths=[16], dropout=0.3, seed=0)
DEEP = MlpConfig(widths=[16, 8], activation=Activation.swish, seed=0)
FIRST = {"linear": "Head/Logits/weights", "mlp": "Head/fc_1/weights"}


def member(head=LINEAR, optimizer=None, epochs=3, phase_settings=None, **settings):
    own = config(phase("head", epochs=epochs, **(phase_settings or {})), **settings)
    given = optimizer or MomentumConfig(learning_rate=0.01, weight_decay=0.01)
    return Member(head, replace(own, optimizer=given))


def momentum(**settings):
    return member(optimizer=MomentumConfig(**{"learning_rate": 0.01, **settings}))


MEMBERS = {
    "linear": member(),
    "another rate": momentum(learning_rate=0.002),
    "no momentum": momentum(momentum=0.0),
    "nesterov": momentum(nesterov=True, weight_decay=0.1),
    "smoothed": member(label_smoothing=0.2),
    "dropout": member(replace(LINEAR, dropout=0.3)),
    "more dropout": member(replace(LINEAR, dropout=0.6)),
    "other batches": member(replace(LINEAR, dropout=0.3), seed=3),
    "other weights": member(replace(LINEAR, seed=5)),
    "larger batches": member(batch_size=24),
    "settings of the phase": member(
        phase_settings={"learning_rate_factor": 0.5, "weight_decay": 0.2, "batch_size": 11}
    ),
    "more epochs": member(epochs=5),
    "last epoch": member(keep=Keep.last),
    "early stop": member(optimizer=MomentumConfig(learning_rate=0.03), epochs=40, patience_epochs=2),
    "warm-up": momentum(warmup_epochs=1.5),
    "constant": momentum(schedule=Schedule.constant),
    "step": momentum(schedule=Schedule.step, step_epochs=[0.5, 2.0]),
    "exponential": momentum(schedule=Schedule.exponential, decay_factor=0.5),
    "polynomial": momentum(schedule=Schedule.polynomial, power=2.0, end_learning_rate=0.001),
    "plateau": member(
        optimizer=MomentumConfig(learning_rate=0.03, schedule=Schedule.plateau, plateau_patience_epochs=1), epochs=8
    ),
    "clipped norm": momentum(clip_norm=0.5),
    "another norm": momentum(clip_norm=0.1),
    "clipped values": momentum(clip_value=0.02),
    "averaged": momentum(ema_decay=0.8, ema_warmup=False),
    "averaged after a warm-up": momentum(ema_decay=0.99),
    "adam": member(optimizer=AdamConfig(learning_rate=0.01, weight_decay=0.01)),
    "adam with other decays": member(optimizer=AdamConfig(learning_rate=0.01, beta1=0.5, beta2=0.9, epsilon=0.1)),
    "adamw": member(optimizer=AdamwConfig(learning_rate=0.01, weight_decay=0.1)),
    "rmsprop": member(optimizer=RmspropConfig(learning_rate=0.02, weight_decay=0.01)),
    "mlp": member(MLP),
    "mlp with other numbers": member(replace(MLP, dropout=0.5), label_smoothing=0.1),
    "mlp with other batches": member(MLP, optimizer=MomentumConfig(learning_rate=0.02), seed=2),
    "deep": member(DEEP),
    "deep with adam": member(DEEP, optimizer=AdamConfig(learning_rate=0.01)),
    "relu6": member(replace(MLP, activation=Activation.relu6)),
    "tanh": member(replace(MLP, activation=Activation.tanh, dropout=0.0)),
}
DIVERGING = {
    "in its first step": member(optimizer=MomentumConfig(learning_rate=1e6, weight_decay=1e6)),
    "in its epochs": member(optimizer=MomentumConfig(learning_rate=3e3, schedule=Schedule.constant)),
    "without momentum": momentum(momentum=0.0, learning_rate=0.3),
    "diverging mlp": member(MLP, optimizer=MomentumConfig(learning_rate=1e4)),
}


def features_of(toys):
    return toys.features.path


def trained(toys, members, features=None):
    photos = stacked.read_photos(toys.ingest.path, (features or toys.features).path)
    return stacked.train_stack(StackConfig(list(members)), photos, lambda: None)


def alone(toys, member, features=None):
    """Train a member with the train stage; return its folder and its facts, or its error."""
    out = toys.out()
    try:
        return out, toys.train(member.train, out, head=toys.make_head(member.head), features=features)
    except UserError as error:
        return out, {"error": str(error)}


def check_equal(toys, found, out, facts, features=None):
    """Compare a member's facts, history and final weights with those of a training alone."""
    own = found.training.facts()
    assert own.get("error") == facts.get("error")
    compared = ("epochs", "best_epoch", "validation_top1")
    assert {name: own[name] for name in compared} == {name: facts[name] for name in compared}
    assert own["validation_loss"] == pytest.approx(facts["validation_loss"], rel=1e-4)
    assert [list(row) for row in found.training.rows] == [list(row) for row in rows(out)]
    for row, wanted in zip(found.training.rows, rows(out), strict=True):
        assert (row["phase"], row["epoch"]) == (wanted["phase"], wanted["epoch"])
        for name in ("loss", "gradient_norm", "learning_rate", "accuracy", "validation_loss", "validation_accuracy"):
            assert row[name] == pytest.approx(wanted[name], rel=1e-4, abs=1e-7), name
    scale = feature_scale(read_training_features((features or toys.features).path)[0])
    head = toys.make_head(found.training.member.head).path
    last = read_checkpoint(out / "last.ckpt", [out / "best.ckpt", head / "model.ckpt", toys.base.path / "model.ckpt"])
    assert set(found.last) == {name for name in last if name.startswith("Head/")}
    for name, value in found.last.items():
        own_scale = scale if name == FIRST[found.training.member.head.kind] else 1
        assert np.abs(value * own_scale - last[name]).max() < 1e-5 * max(1.0, np.abs(last[name]).max()), name


@pytest.fixture(scope="module")
def together(toys):
    """Train all members in one stack, the diverging ones among them."""
    everyone = {**DIVERGING, **MEMBERS}
    return dict(zip(everyone, trained(toys, everyone.values()), strict=True))


@pytest.mark.parametrize("name", MEMBERS)
def test_a_member_gets_the_numbers_of_a_training_alone(toys, together, name):
    out, facts = alone(toys, MEMBERS[name])
    check_equal(toys, together[name], out, facts)


def test_the_members_show_what_they_are_named_after(together):
    epochs = {name: one.training.facts()["epochs"] for name, one in together.items() if name in MEMBERS}
    assert 3 <= epochs["early stop"] < 40 and epochs["more epochs"] == 5
    rates = [row["learning_rate"] for row in together["plateau"].training.rows]
    assert rates[-1] < rates[0]


@pytest.mark.parametrize("name", DIVERGING)
def test_a_diverging_member_ends_with_the_error_of_a_training_alone(toys, together, name):
    _, facts = alone(toys, DIVERGING[name])
    assert together[name].training.facts() == facts
    assert "at a learning rate of" in facts["error"]


def test_a_stack_trains_on_mirror_images_too(toys):
    features = toys.make_features(flips=True)
    [found] = trained(toys, [member(MLP)], features)
    out, facts = alone(toys, member(MLP), features)
    check_equal(toys, found, out, facts, features)


@pytest.mark.parametrize("head", [LINEAR, replace(LINEAR, seed=7, dropout=0.4), MLP, DEEP])
def test_initial_weights_are_those_of_the_head_stage(toys, head):
    wanted = read_checkpoint(toys.make_head(head).path / "model.ckpt", [toys.base.path / "model.ckpt"])
    found = initial_values(member(head), WIDTH, len(CLASSES))
    assert set(found) == {name for name in wanted if name.startswith("Head/")}
    assert all(found[name].tobytes() == wanted[name].tobytes() for name in found)


def make_stack(toys, members, out=None):
    out = out or toys.out()
    return out, stack(StackConfig(list(members)), out, ingest=toys.ingest, features=toys.features)


def test_the_stage_writes_the_histories_and_the_facts_of_all_members(toys):
    members = [DIVERGING["in its first step"], member(epochs=2), member(MLP, epochs=3)]
    out, facts = make_stack(toys, members)
    assert [path.name for path in out.iterdir()] == ["history.parquet"]
    table = pq.read_table(out / "history.parquet")
    single, single_facts = alone(toys, members[1])
    wanted = pq.read_schema(single / "history.parquet")
    assert table.schema.names == ["member", *wanted.names]
    assert [str(kind) for kind in table.schema.types] == ["int32", *map(str, wanted.types)]
    assert table["member"].to_pylist() == [1, 1, 2, 2, 2] and table["epoch"].to_pylist() == [1, 2, 1, 2, 3]
    assert (facts["heads"], facts["diverged"]) == (3, 1)
    assert list(facts["members"][0]) == ["error"]
    assert set(facts["members"][1]) == set(single_facts) - {"examples_per_second"}
    again, same = make_stack(toys, members)
    assert same["members"] == facts["members"]
    assert (again / "history.parquet").read_bytes() == (out / "history.parquet").read_bytes()


def test_a_stack_of_diverging_members_is_complete(toys):
    out, facts = make_stack(toys, [DIVERGING["in its first step"]])
    assert facts["diverged"] == 1
    assert pq.read_table(out / "history.parquet").num_rows == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_a_stack_at_the_end_of_an_epoch(toys, monkeypatch, number):
    ended = []

    def end_epoch(part, photos):
        ended.append(part)
        if len(ended) == 1:  # a second Ctrl-C would interrupt at once
            os.kill(os.getpid(), number)
        return part_end(part, photos)

    part_end = stacked.Part.end_epoch
    monkeypatch.setattr(stacked.Part, "end_epoch", end_epoch)
    out = toys.out()
    with pytest.raises(Stopped, match=r"in epoch \d+ of heads that train together") as caught:
        make_stack(toys, [member(epochs=5000, patience_epochs=5000)], out)
    assert caught.value.signal == number
    assert len(ended) < 5000 and not list(out.iterdir())


def test_a_member_that_only_train_can_compute_is_refused(toys):
    with pytest.raises(ValueError, match=r"members \[1\] have settings that only train can compute"):
        make_stack(toys, [member(), member(mixup=0.2)])


def test_a_point_takes_less_than_10_kb(toys, tmp_path):
    members = [member(optimizer=MomentumConfig(learning_rate=0.001 * (1 + number)), epochs=30) for number in range(32)]
    given = StackConfig(members)
    inputs: dict[str, Artifact] = {"ingest": toys.ingest, "features": toys.features}
    store = Store(tmp_path / "store", DISPLAY_ONLY)
    code = store.code.read(stack, settled_choices(stack, given, inputs))
    parts = key_parts(stack, given, inputs, code, ContentDigests(tmp_path / "digests"))
    artifact, _ = store.obtain(stack, make_key(parts), parts, lambda out: stack(given, out, **inputs))
    assert sum(path.stat().st_size for path in artifact.path.rglob("*")) < 10_000 * len(members)
    assert len(artifact.facts["members"]) == 32
