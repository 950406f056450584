"""Training of a toy network: which variables change, what is kept, and that a killed training ends with equal bits."""

from __future__ import annotations

import errno
import logging
import os
import re
import signal
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from slimline.pipeline.errors import Stopped, UserError
from slimline.stages.backend.tensorflow import tf
from slimline.stages.data.storing.features import read_features
from slimline.stages.data.storing.photos import Photos
from slimline.stages.images.augmentation_config import CropConfig
from slimline.stages.images.preprocessing import preprocess
from slimline.stages.models.card import read_card
from slimline.stages.networks.weights.checkpoint import read_checkpoint, write_checkpoint
from slimline.stages.networks.weights.parts import OTHERS
from slimline.stages.training import cut_cache, loop
from slimline.stages.training import state as train_state
from slimline.stages.training.config import BatchNorm, Keep, Switch
from slimline.stages.training.trainer import PhaseTrainer, Sums
from tests.stages.toy_training import (
    CACHE,
    CLASSES,
    FUSED,
    MEASURES,
    SEEN,
    changed,
    classifier,
    config,
    kept_bytes,
    phase,
    rows,
)
from tests.tiers import release

pytestmark = pytest.mark.slow

HEAD = {"Head/Logits/weights", "Head/Logits/biases"}


def layer(name, kernel="weights"):
    return {f"Toy/{name}/{inside}" for inside in (kernel, "BatchNorm/gamma", "BatchNorm/beta")}


def statistics(*names):
    return {f"Toy/{name}/BatchNorm/moving_{one}" for name in names for one in ("mean", "variance")}


def measured(model, labels, photos):
    """Score the trained model from the photos' bytes: return the mean cross-entropy and the accuracy."""
    card = model.card()
    prepare = tf.function(lambda encoded: preprocess(encoded, card.preprocessing), autograph=False)
    images = tf.stack([prepare(tf.constant(photos.encoded(number))) for number in range(len(photos))])
    logits = classifier(model)(images).numpy().astype(np.float64)
    chances = np.exp(logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)))
    return -np.mean(np.log(chances[np.arange(len(labels)), labels])), np.mean(logits.argmax(axis=1) == labels)


def check_scores(toys, out, facts):
    """Check that the trained model's scores are those that training reports."""
    photos = Photos(toys.ingest.path, "validation")
    loss, accuracy = measured(toys.model(out), photos.labels, photos)
    assert facts["validation_loss"] == pytest.approx(loss, rel=5e-3, abs=1e-3)
    assert facts["validation_top1"] == pytest.approx(accuracy)


class Killed(BaseException):
    """Simulated SIGKILL inside a process: no code handles it."""


def kill(patch, calls, message="killed"):
    """Kill the training at call number `calls` of the functions that run steps or write checkpoints and positions."""
    left = [calls]

    def counted(function, before):
        def call(*arguments, **options):
            left[0] -= 1
            if left[0] == 0 and before:
                raise Killed(message)
            found = function(*arguments, **options)
            if left[0] == 0:
                raise Killed(message)
            return found

        return call

    for owner, name, before in (
        (PhaseTrainer, "run_step", True),
        (PhaseTrainer, "run_steps", True),
        (train_state, "write_checkpoint", False),
        (train_state, "write_json", True),
    ):
        patch.setattr(owner, name, counted(getattr(owner, name), before))
    return left


@pytest.mark.parametrize(
    ("trainable", "wanted"),
    [
        (["head"], set()),
        (["Toy/Conv_2"], layer("Conv_2")),
        (["Toy/Conv_1_depthwise"], layer("Conv_1_depthwise", "depthwise_weights")),
        (["Toy/Conv_1_pointwise+"], layer("Conv_1_pointwise") | layer("Conv_2")),
    ],
)
def test_only_trainable_variables_change(toys, trainable, wanted):
    out = toys.out()
    facts = toys.train(config(phase(*trainable, epochs=1)), out)
    initial = toys.untrained()
    for found in toys.checkpoints(out).values():
        assert changed(initial, found) == wanted | HEAD
    check_scores(toys, out, facts)


def own_names(prefix):
    """Return the names of the variables that a checkpoint holds itself, without its list of the others."""
    return set(tf.train.load_checkpoint(str(prefix)).get_variable_to_shape_map()) - {OTHERS}


@pytest.mark.parametrize(
    ("phases", "wanted"),
    [
        ([phase("head", epochs=1)], HEAD),
        ([phase("head", epochs=1), phase("Toy/Conv_2", epochs=1)], layer("Conv_2") | HEAD),
        ([phase("Toy/Conv_2", epochs=1), phase("head", epochs=1)], layer("Conv_2") | HEAD),
        (
            [phase("Toy/Conv_2", epochs=1, batch_norm=BatchNorm.update)],
            layer("Conv_2") | statistics("Conv_2") | HEAD,
        ),
    ],
)
def test_the_artifact_holds_the_changed_variables_and_no_others(toys, phases, wanted):
    out = toys.out()
    toys.train(config(*phases), out)
    found = toys.checkpoints(out)
    assert own_names(out / "best.ckpt") == wanted
    assert own_names(out / "last.ckpt") == changed(found["best"], found["last"])
    assert list(found["best"]) == list(found["last"]) == list(toys.untrained())


def test_a_heads_artifact_holds_its_new_variables_and_no_others(toys):
    assert own_names(toys.head.path / "model.ckpt") == HEAD
    below = read_checkpoint(toys.base.path / "model.ckpt")
    assert {name for name in toys.untrained() if name not in below} == HEAD
    assert set(toys.untrained()) == set(below) | HEAD


@pytest.mark.parametrize("batch_norm", [BatchNorm.update, BatchNorm.recalibrate])
def test_updating_batch_norms_change_only_their_own_moving_averages(toys, batch_norm):
    out = toys.out()
    facts = toys.train(config(phase("Toy/Conv_1_pointwise+", epochs=1, batch_norm=batch_norm)), out)
    initial = toys.untrained()
    wanted = layer("Conv_1_pointwise") | layer("Conv_2") | statistics("Conv_1_pointwise", "Conv_2") | HEAD
    assert changed(initial, toys.checkpoints(out)["best"]) == wanted
    assert -1 <= facts["batch_norm_gap"] <= 1
    check_scores(toys, out, facts)


def test_a_gap_between_batch_statistics_and_moving_averages_is_logged(toys, caplog, monkeypatch):
    accuracies = {False: 2, True: 9}  # of eleven photos

    def logits(self, batches, batch_size, *, batch_mode=False):
        labels = Photos(toys.ingest.path, "validation").labels
        right = np.arange(len(labels)) < accuracies[batch_mode]
        return np.eye(len(CLASSES), dtype=np.float32)[np.where(right, labels, (labels + 1) % len(CLASSES))]

    monkeypatch.setattr(PhaseTrainer, "logits", logits)
    wanted = config(phase("Toy/Conv_2", epochs=1, batch_norm=BatchNorm.update))
    with caplog.at_level(logging.WARNING, "slimline.stages.training.phase"):
        facts = toys.train(wanted, toys.out())
    assert facts["batch_norm_gap"] == pytest.approx(7 / 11)
    [line] = [record.getMessage() for record in caplog.records]
    assert "Conv_2: validation accuracy is 18.2% with the batch norms' moving averages, but 81.8% with each" in line
    caplog.clear()
    accuracies[True] = 2
    assert toys.train(wanted, toys.out())["batch_norm_gap"] == 0
    assert not caplog.records


def test_an_unknown_scope_is_rejected_before_anything_is_computed(toys, monkeypatch):
    monkeypatch.setattr(cut_cache, "cached_views", None)
    with pytest.raises(UserError, match=r"train.phases names 'Toy/Conv_9'"):
        toys.train(config(phase("Toy/Conv_2"), phase("Toy/Conv_9")), toys.out())


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_a_head_trained_on_scaled_features_takes_unscaled_ones(toys, kind):
    out = toys.out()
    head = toys.make_mlp() if kind == "mlp" else toys.head
    facts = toys.train(config(phase("head", epochs=4)), out, head=head)
    assert facts["epochs"] == 4
    check_scores(toys, out, facts)


def test_a_head_after_a_changed_base_is_trained_on_that_base(toys):
    out = toys.out()
    phases = phase("Toy/Conv_2", epochs=2, learning_rate_factor=10.0), phase("head", epochs=2)
    facts = toys.train(config(*phases), out)
    assert [row["phase"] for row in rows(out)] == ["Conv_2", "Conv_2", "head", "head"]
    assert layer("Conv_2") <= changed(toys.untrained(), toys.checkpoints(out)["best"])
    check_scores(toys, out, facts)


def test_training_a_cut_network_equals_training_the_whole_one(toys):
    found = {}
    for name, cache in (("cut", CACHE), ("whole", replace(CACHE, budget_mb=0))):
        out = toys.out()
        toys.train(config(phase("Toy/Conv_2", epochs=3), cache=cache), out)
        found[name] = np.array([[row[measure] for measure in ("loss", "validation_loss")] for row in rows(out)])
    assert found["cut"] == pytest.approx(found["whole"], rel=2e-3)
    assert not np.array_equal(found["cut"], found["whole"])  # differences by float16 show that one of them was cut


def test_outputs_at_the_cut_are_computed_once_for_several_trainings(toys, monkeypatch):
    wanted = config(phase("Toy/Conv_2", epochs=1, augment=True), augmentation=CropConfig(hue=0.02))
    toys.train(wanted, toys.out())

    def refuse(*_):
        raise AssertionError("something was computed")

    monkeypatch.setattr(cut_cache, "run_prepared", refuse)
    other = replace(wanted, optimizer=replace(wanted.optimizer, learning_rate=0.001), batch_size=8)
    assert toys.train(other, toys.out())["epochs"] == 1


def test_outputs_over_the_budget_are_not_cached_and_this_is_logged(toys, caplog):
    wanted = config(phase("Toy/Conv_2", epochs=1, augment=True), augmentation=CropConfig())
    with caplog.at_level(logging.INFO, "slimline.stages.training.cut_cache"):
        toys.train(replace(wanted, cache=replace(CACHE, budget_mb=0)), toys.out())
    assert any("more than train.cache.budget_mb=0" in record.getMessage() for record in caplog.records)


def test_an_augmented_head_sees_another_view_in_each_epoch(toys, monkeypatch):
    seen = []
    run = PhaseTrainer.run_step

    def noted(self, inputs, targets, step):
        seen.append(inputs.numpy())
        return run(self, inputs, targets, step)

    monkeypatch.setattr(PhaseTrainer, "run_step", noted)
    out = toys.out()
    facts = toys.train(config(phase("head", epochs=6, augment=True), augmentation=CropConfig()), out)
    steps = len(seen) // 6
    epochs = [np.concatenate(seen[epoch * steps : (epoch + 1) * steps]) for epoch in range(6)]
    assert epochs[0].shape == (steps * 16, 12)
    views = {row.tobytes() for epoch in epochs for row in epoch}
    photos = toys.ingest.facts["train"]
    assert 2 * photos < len(views) <= 3 * photos  # three views per photo, and nearly all photos are drawn in each epoch
    assert not {row.tobytes() for row in epochs[0]} & {row.tobytes() for row in epochs[1]}
    check_scores(toys, out, facts)


def test_an_epoch_in_one_call_equals_single_steps(toys):
    found = []
    for switch in (Switch.always, Switch.never):
        out = toys.out()
        toys.train(config(phase("head", epochs=2), fused=replace(FUSED, epoch=switch)), out)
        found.append(np.array([[row[measure] for measure in MEASURES] for row in rows(out)]))
    assert found[0] == pytest.approx(found[1], rel=1e-4)


def test_a_phase_starts_from_the_best_epoch_of_the_previous_phase(toys):
    out = toys.out()
    wild = config(
        phase("head", epochs=8, learning_rate_factor=8.0),
        phase("head", epochs=1, learning_rate_factor=1e-9),
    )
    toys.train(wild, out)
    *first, second = [row["validation_loss"] for row in rows(out)]
    assert second == pytest.approx(min(first), rel=1e-4)
    assert min(first) < 0.99 * first[-1]  # so that the best epoch is not the last one
    assert [row["phase"] for row in rows(out)] == ["head"] * 8 + ["head-2"]


def test_keep_last_keeps_the_last_epoch(toys):
    out = toys.out()
    wild = config(phase("head", epochs=8, learning_rate_factor=8.0), keep=Keep.last)
    facts = toys.train(wild, out)
    assert facts["best_epoch"] == 8
    assert (
        facts["validation_loss"] == rows(out)[-1]["validation_loss"] > min(row["validation_loss"] for row in rows(out))
    )
    found = toys.checkpoints(out)
    assert changed(found["best"], found["last"]) == own_names(out / "last.ckpt") == set()
    check_scores(toys, out, facts)


def test_training_images_can_be_smaller_than_the_models_images(toys):
    out = toys.out()
    small = phase("Toy/Conv_2", epochs=1, augment=True, input_px=32)
    facts = toys.train(config(small, augmentation=CropConfig(), image_px=40), out)
    assert read_card(out).preprocessing.input_px == 40
    check_scores(toys, out, facts)


def test_a_phase_stops_early_without_improvement(toys):
    out = toys.out()
    wanted = config(phase("head", epochs=30, learning_rate_factor=8.0), phase("head", epochs=1), patience_epochs=2)
    toys.train(wanted, out)
    first = [row["validation_loss"] for row in rows(out) if row["phase"] == "head"]
    assert len(first) < 30
    assert len(first) - 1 - int(np.argmin(first)) == 2
    assert rows(out)[-1]["phase"] == "head-2"


def test_steps_are_counted_over_all_phases(toys):
    out = toys.out()
    phases = phase("head", epochs=2, batch_size=8), phase("head", epochs=1, batch_size=32)
    toys.train(config(*phases), out)
    steps = []
    for path in sorted((out / "logs").glob("events.*")):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            steps += [event.step for value in event.summary.value if value.tag == "step/loss"]
    photos = toys.ingest.facts["train"]
    assert steps == [photos // 8, 2 * (photos // 8), 2 * (photos // 8) + photos // 32]


def test_a_weight_for_an_unknown_class_is_rejected(toys):
    with pytest.raises(UserError, match=r"train\.class_weights names 'dog', which is not a class") as caught:
        toys.train(config(phase("head"), class_weights={"ant": 2.0, "dog": 3.0}), toys.out())
    assert "The classes are: ant, bee, cat." in str(caught.value)


def test_a_class_with_weight_zero_has_no_influence(toys):
    out = toys.out()
    toys.train(config(phase("head", epochs=4, learning_rate_factor=0.1), class_weights={"ant": 0.0}), out)
    last = toys.checkpoints(out)["last"]
    initial = toys.untrained()
    moved = last["Head/Logits/biases"] - initial["Head/Logits/biases"]
    assert moved[0] == moved.min() < 0  # only the photos of other classes change its bias, and these lower it


def test_balanced_classes_are_drawn_equally_often(toys, monkeypatch):
    targets = []
    run = PhaseTrainer.run_step

    def noted(self, inputs, wanted, step):
        targets.extend(wanted.numpy().tolist())
        return run(self, inputs, wanted, step)

    monkeypatch.setattr(PhaseTrainer, "run_step", noted)
    never = replace(FUSED, epoch=Switch.never)
    toys.train(config(phase("head", epochs=1, batch_size=65), balance=True, fused=never), toys.out())
    counts = np.bincount(targets, minlength=len(CLASSES))
    labels = Photos(toys.ingest.path, "train").labels
    assert counts.max() - counts.min() <= 1
    assert np.ptp(np.bincount(labels)) > 1


AUGMENTED = {"augmentation": CropConfig(), "mixup": 0.2, "label_smoothing": 0.1, "optimizer": {"ema_decay": 0.9}}
TRAININGS = {
    "head": config(phase("head", epochs=5), phase("head", epochs=2), mixup=0.2),
    "pixels": config(
        phase("head", epochs=1), phase("all", epochs=2, augment=True, batch_norm=BatchNorm.update), **AUGMENTED
    ),
    "cut": config(
        phase("Toy/Conv_2", epochs=2, augment=True, batch_norm=BatchNorm.recalibrate),
        phase("head", epochs=2, batch_size=32),
        **AUGMENTED,
    ),
}


class Undisturbed(dict):
    """Result of each training without interruption, run once when needed: its files, facts and number of calls."""

    def __init__(self, toys):
        super().__init__()
        self.toys = toys

    def __missing__(self, name):
        out = self.toys.out()
        with pytest.MonkeyPatch.context() as patch:
            left = kill(patch, 10**6)
            facts = self.toys.train(replace(TRAININGS[name], checkpoint_seconds=0.0), out)
        self[name] = kept_bytes(out), facts, 10**6 - left[0]
        return self[name]


@pytest.fixture(scope="module")
def undisturbed(toys):
    return Undisturbed(toys)


def lasting(facts):
    return {name: value for name, value in facts.items() if not name.endswith("_per_second")}


@pytest.mark.parametrize("name", release(TRAININGS, ("pixels",)))
def test_a_training_killed_anywhere_ends_with_the_same_bits(toys, undisturbed, name):
    wanted, facts, calls = undisturbed[name]
    out, kills = toys.out(), 0
    draw = np.random.default_rng(len(name))
    while kills < 30:
        with pytest.MonkeyPatch.context() as patch:
            kill(patch, int(draw.integers(calls // 4, calls // 2)))
            try:
                ended = toys.train(replace(TRAININGS[name], checkpoint_seconds=0.0), out)
            except Killed:
                kills += 1
                continue
        break
    assert kills >= 2
    assert kept_bytes(out) == wanted
    assert lasting(ended) == lasting(facts)
    assert not (out / "state").exists()


@pytest.mark.parametrize("name", ["head", "cut"])
def test_a_kill_with_checkpoints_only_at_ends_of_phases_gives_the_same_bits(toys, undisturbed, name):
    wanted, facts, calls = undisturbed[name]
    out = toys.out()
    rare = replace(TRAININGS[name], checkpoint_seconds=1e9)
    with pytest.MonkeyPatch.context() as patch:
        kill(patch, calls // 3)
        with pytest.raises(Killed):
            toys.train(rare, out)
    ended = toys.train(rare, out)
    assert kept_bytes(out) == wanted
    assert lasting(ended) == lasting(facts)


@pytest.fixture(scope="module")
def mirrored(toys):
    return toys.make_features(flips=True)


def test_a_head_trains_on_photos_and_their_mirror_images(toys, mirrored, monkeypatch):
    fed = []
    run_steps = PhaseTrainer.run_steps

    def recorded(self, inputs, targets, order, first_step):
        fed.append((inputs.numpy(), targets.numpy(), order))
        return run_steps(self, inputs, targets, order, first_step)

    monkeypatch.setattr(PhaseTrainer, "run_steps", recorded)
    facts = toys.train(config(phase("head", epochs=2)), toys.out(), features=mirrored)
    plain, labels = read_features(mirrored.path / "train.arrow")
    flipped, same = read_features(mirrored.path / "train_mirrored.arrow")
    assert labels.tolist() == same.tolist()
    assert not np.allclose(plain, flipped)
    inputs, targets, _ = fed[0]
    assert inputs.tobytes() == np.concatenate([plain, flipped]).tobytes()
    assert targets.tolist() == [*labels, *labels]
    assert len(fed) == facts["epochs"] == 2
    for _, _, order in fed:
        assert order.shape == (2 * len(labels) // 16, 16)
        assert len(set(order.ravel().tolist())) == order.size
        assert order.max() >= len(labels)


def test_deeper_phases_after_mirrored_features_train_on_each_photo_once(toys, mirrored):
    out = toys.out()
    phases = phase("head", epochs=1), phase("Toy/Conv_2", epochs=1)
    facts = toys.train(config(*phases), out, features=mirrored)
    assert facts["epochs"] == 2
    check_scores(toys, out, facts)


@pytest.mark.parametrize("epoch", [Switch.always, Switch.never])
def test_a_training_on_mirrored_features_resumes_with_the_same_bits(toys, mirrored, epoch):
    asked = config(
        phase("head", epochs=4),
        phase("Toy/Conv_2", epochs=1),
        fused=replace(FUSED, epoch=epoch),
        checkpoint_seconds=0.0,
    )
    whole = toys.out()
    with pytest.MonkeyPatch.context() as patch:
        left = kill(patch, 10**6)
        facts = toys.train(asked, whole, features=mirrored)
        calls = 10**6 - left[0]
    out = toys.out()
    for at in (calls // 4, calls // 3):
        with pytest.MonkeyPatch.context() as patch:
            kill(patch, at)
            with pytest.raises(Killed):
                toys.train(asked, out, features=mirrored)
    ended = toys.train(asked, out, features=mirrored)
    assert kept_bytes(out) == kept_bytes(whole)
    assert lasting(ended) == lasting(facts)


def test_a_kill_after_the_last_step_gives_the_same_bits(toys, undisturbed, monkeypatch):
    wanted, facts, _ = undisturbed["cut"]
    out = toys.out()

    def killed(prefix, values, **options):
        if prefix.name == "last.ckpt":
            raise Killed
        write_checkpoint(prefix, values, **options)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "write_checkpoint", killed)
        with pytest.raises(Killed):
            toys.train(TRAININGS["cut"], out)
    ended = toys.train(TRAININGS["cut"], out)
    assert kept_bytes(out) == wanted
    assert lasting(ended) == lasting(facts)


@pytest.mark.parametrize(
    ("name", "number"),
    release(
        [(name, number) for name in ("head", "cut") for number in (signal.SIGTERM, signal.SIGINT)],
        [("head", signal.SIGTERM), ("cut", signal.SIGINT)],
    ),
)
def test_a_signal_writes_a_checkpoint_and_the_same_command_resumes(toys, undisturbed, monkeypatch, name, number):
    out = toys.out()
    method = "run_steps" if name == "head" else "run_step"
    run, calls = getattr(PhaseTrainer, method), []

    def signalled(self, *arguments):
        calls.append(1)
        if len(calls) == 3:
            os.kill(os.getpid(), number)
        return run(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(PhaseTrainer, method, signalled)
        with pytest.raises(Stopped) as caught:
            toys.train(TRAININGS[name], out)
    assert caught.value.signal == number
    first, second = str(caught.value).splitlines()
    where = r"phase 1 \(head\), epoch 3, step 5" if name == "head" else r"phase 1 \(Conv_2\), epoch 1, step 4"
    assert re.fullmatch(rf"Stopped by {number.name} in {where}\. A checkpoint is kept\.", first)
    assert second == "Run the same command again to resume."
    assert len(calls) == 3
    toys.train(TRAININGS[name], out)
    assert kept_bytes(out) == undisturbed[name][0]


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not(toys, undisturbed):
    out = toys.out()
    toys.train(TRAININGS["cut"], out, memory="another")
    assert kept_bytes(out) == undisturbed["cut"][0]
    out = toys.out()
    toys.train(replace(TRAININGS["head"], seed=1), out)
    assert kept_bytes(out)["best.ckpt.data-00000-of-00001"] != undisturbed["head"][0]["best.ckpt.data-00000-of-00001"]


def test_the_learning_rate_test_does_not_change_the_training(toys, undisturbed):
    out = toys.out()
    toys.train(replace(TRAININGS["head"], find_learning_rate=True), out)
    assert kept_bytes(out) == undisturbed["head"][0]
    for name in ("head", "head-2"):
        table = pq.read_table(out / f"learning_rate_{name}.parquet").to_pydict()
        assert table["learning_rate"][0] == 1e-6
        assert len(table["loss"]) == len(table["learning_rate"]) > 10
    assert not list(out.glob("*.svg"))  # the report draws the curve from the table


def test_a_diverging_loss_ends_the_training(toys):
    wild = config(phase("Toy/Conv_2", epochs=20))
    wild = replace(wild, optimizer=replace(wild.optimizer, learning_rate=10.0))
    with pytest.raises(UserError) as caught:
        toys.train(wild, toys.out())
    problem, advice = str(caught.value).splitlines()
    diverged = r"The (training|validation) loss (is NaN or infinite|diverged to \S+ \(lowest so far: \S+\)) (in|at) "
    assert re.search(diverged, problem)
    assert "phase 1 (Conv_2)" in problem
    assert "at a learning rate of 10." in problem
    assert advice.startswith("Lower train.optimizer.learning_rate=10 or the phase's learning_rate_factor, ")


def test_a_nan_loss_keeps_the_last_good_checkpoint(toys, undisturbed, monkeypatch):
    out = toys.out()
    run, calls = PhaseTrainer.run_step, []

    def poisoned(self, inputs, targets, step):
        calls.append(step)
        if len(calls) == 6:
            run(self, inputs * np.float32(np.nan), targets, step)
            return Sums(float("nan"), 0.0, float("nan"), step)
        return run(self, inputs, targets, step)

    wanted = replace(TRAININGS["cut"], checkpoint_seconds=0.0)
    with monkeypatch.context() as patch:
        patch.setattr(PhaseTrainer, "run_step", poisoned)
        with pytest.raises(
            UserError, match=r"NaN or infinite in step 2 of epoch 2 of phase 1 \(Conv_2\), at a learning rate"
        ):
            toys.train(wanted, out)
    toys.train(wanted, out)
    assert kept_bytes(out) == undisturbed["cut"][0]


def test_a_nan_validation_loss_after_the_last_step_is_reported(toys, monkeypatch):
    nothing = np.full([toys.ingest.facts["validation"], len(CLASSES)], np.nan, np.float32)
    monkeypatch.setattr(PhaseTrainer, "logits", lambda *_, **__: nothing)
    place = r"at the end of epoch 1 of phase 1 \(head\)"
    with pytest.raises(UserError, match=rf"The validation loss is NaN or infinite {place}"):
        toys.train(config(phase("head", epochs=1)), toys.out())


FULL = [
    OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    tf.errors.ResourceExhaustedError(None, None, "No space left on device"),
]


@pytest.mark.parametrize("error", FULL)
@pytest.mark.parametrize("at", ["state", "best.ckpt"])
def test_a_full_disk_is_reported_and_training_resumes_with_free_space(toys, undisturbed, monkeypatch, error, at):
    out, calls = toys.out(), []
    owner = train_state if at == "state" else loop

    def full(prefix, values, **options):
        calls.append(prefix)
        if len(calls) > (4 if at == "state" else 0):
            raise error
        write_checkpoint(prefix, values, **options)

    wanted = replace(TRAININGS["head"], checkpoint_seconds=0.0)
    with monkeypatch.context() as patch:
        patch.setattr(owner, "write_checkpoint", full)
        with pytest.raises(UserError, match=r"Cannot write a checkpoint to .*: no space left on device"):
            toys.train(wanted, out)
    toys.train(wanted, out)
    assert kept_bytes(out) == undisturbed["head"][0]


def test_the_card_describes_the_trained_model(toys):
    out = toys.out()
    toys.train(config(phase("head", epochs=1)), out)
    card = read_card(out)
    assert (card.labels, card.preprocessing, card.network) == (list(CLASSES), SEEN, "toy")
