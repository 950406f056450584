"""Display of a training: profiles, activations and curves, without any influence on the training."""

from __future__ import annotations

import importlib
import sys
from dataclasses import replace
from unittest.mock import MagicMock

import pytest

from slimline.stages.backend.tensorflow import tf
from slimline.stages.images.augmentation_config import CropConfig
from slimline.stages.training.config import BatchNorm, PhaseConfig, TensorBoardLogs, TrainConfig
from slimline.stages.training.display import ACTIVATION_PHOTOS, hyperparameters, steps_left
from slimline.stages.training.optimizer_config import AdamConfig
from slimline.stages.training.state import Position
from slimline.stages.training.trainer import PhaseTrainer
from tests.stages.toy_training import MEASURES, SIDE, WIDTH, config, kept_bytes, phase

pytestmark = pytest.mark.slow


@pytest.fixture
def profiled(monkeypatch):
    """The events of a training, in order: `start` and `stop` of a profile, and each single `step`."""
    done = []

    def noted(name, function):
        def call(*arguments, **options):
            done.append(name)
            return function(*arguments, **options)

        return call

    for owner, name, kind in (
        (tf.profiler.experimental, "start", "start"),
        (tf.profiler.experimental, "stop", "stop"),
        (PhaseTrainer, "run_step", "step"),
    ):
        monkeypatch.setattr(owner, name, noted(kind, getattr(owner, name)))
    return done


def failing_at(number, function):
    """Return a wrapper of `function` whose call number `number` fails."""
    calls = iter(range(1, number + 1))

    def call(*arguments, **options):
        if next(calls) == number:
            raise RuntimeError("no memory")
        return function(*arguments, **options)

    return call


def test_a_profile_does_not_change_the_results(toys, profiled):
    one = config(phase("Toy/Conv_1_pointwise+", augment=True), augmentation=CropConfig())
    out, plain = toys.out(), toys.out()
    toys.train(replace(one, profile_steps=3), out)
    assert profiled[:8] == ["step", "step", "start", "step", "step", "step", "stop", "step"]
    assert profiled.count("start") == 1
    assert list((out / "logs").rglob("*.xplane.pb"))
    toys.train(one, plain)
    assert kept_bytes(out) == kept_bytes(plain)


def test_a_profile_stops_if_training_fails(toys, profiled, monkeypatch):
    monkeypatch.setattr(PhaseTrainer, "run_step", failing_at(5, PhaseTrainer.run_step))
    one = config(phase("Toy/Conv_1_pointwise+", augment=True), augmentation=CropConfig(), profile_steps=100)
    with pytest.raises(RuntimeError, match="no memory"):
        toys.train(one, toys.out())
    assert profiled == ["step", "step", "start", "step", "step", "stop"]


def test_activations_are_shown_for_a_few_photos(toys):
    out = toys.out()
    toys.train(config(phase("Toy/Conv_2", "head")), out)
    [path] = (out / "logs").glob("events*")
    [activations] = (
        tf.make_ndarray(value.tensor)
        for event in tf.compat.v1.train.summary_iterator(str(path))
        for value in event.summary.value
        if value.tag == "activations/Toy/Conv_2/Relu6"
    )
    side = SIDE // 4
    assert activations[:, 2].sum() == ACTIVATION_PHOTOS * side * side * WIDTH


def tags(out):
    """Return the tags of a training's logs; the graph is written as `graph`."""
    found = set()
    for path in (out / "logs").rglob("events*"):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            found.update(["graph"] if event.graph_def else [value.tag for value in event.summary.value])
    return found


def test_scalars_alone_leave_out_pictures_histograms_and_the_graph_and_change_no_result(toys):
    full, small = toys.out(), toys.out()
    one = config(phase("head"), phase("Toy/Conv_2", augment=True), augmentation=CropConfig())
    facts = toys.train(one, full)
    shown = toys.train(replace(one, tensorboard=TensorBoardLogs.scalars), small)
    assert (lasting(shown), files(small)) == (lasting(facts), files(full))
    left_out = tags(full) - tags(small)
    assert {"augmented", "confusion_matrix", "graph", "precision_recall/ant/pr_curves"} <= left_out
    assert {tag.partition("/")[0] for tag in left_out if "/" in tag} == {
        *("precision_recall", "weights", "activations", "sparsity"),
    }
    assert {*MEASURES, "step/loss", "_hparams_/session_start_info", "validation_top1"} <= tags(small)


def test_hyperparameters_are_flat_values_without_untracked_settings():
    config = TrainConfig(
        optimizer=AdamConfig(learning_rate=0.25),
        phases=[PhaseConfig(["head"], epochs=3), PhaseConfig(["all"], batch_norm=BatchNorm.update)],
        network="mobilenet_v1",
        seed=7,
    )
    values = hyperparameters(config)
    assert values["optimizer.learning_rate"] == 0.25
    assert values["optimizer.schedule"] == "cosine"
    assert values["phases.0.epochs"] == 3
    assert values["phases.1.trainable"] == "['all']"
    assert values["phases.1.batch_norm"] == "update"
    assert values["seed"] == 7
    assert not {"phases", "checkpoint_seconds", "profile_steps", "tensorboard"} & set(values)
    assert {type(value) for value in values.values()} <= {bool, int, float, str}
    slower = replace(config, checkpoint_seconds=99.0, profile_steps=3, tensorboard=TensorBoardLogs.scalars)
    assert hyperparameters(slower) == values


def test_steps_left_are_the_remaining_steps_of_each_phase():
    phases = phase("head", epochs=4), phase("all", epochs=3, batch_size=8), phase("head", epochs=2, batch_size=1000)
    one = config(*phases, batch_size=16)
    assert steps_left(one, Position(), 40) == [("head", 8), ("all", 15), ("head-2", 2)]
    assert steps_left(one, Position(phase=1, epoch=1, step=2), 40) == [("head", 0), ("all", 8), ("head-2", 2)]


def test_steps_left_of_a_phase_on_features_count_mirror_images():
    one = config(phase("head", epochs=4), phase("all", epochs=3, batch_size=8), batch_size=16)
    assert steps_left(one, Position(), 40, mirrored=True) == [("head", 20), ("all", 15)]


DISPLAY_ONLY = ("display", "progress", "tensorboard", "tensorboard_images")
CONFIGS = ("config", "optimizer_config", "schedule_config")
SEEN = config(
    phase("Toy/Conv_2", augment=True, batch_norm=BatchNorm.recalibrate),
    phase("head"),
    augmentation=CropConfig(),
    find_learning_rate=True,
)


@pytest.fixture(scope="module")
def shown(toys):
    """A training with all displays turned on: its facts and files."""
    out = toys.out()
    return lasting(toys.train(replace(SEEN, profile_steps=2), out, memory="shown")), files(out)


def lasting(facts):
    return {name: value for name, value in facts.items() if not name.endswith("_per_second")}


def files(out):
    """Return the files that belong to an artifact's content: all except those in `logs`."""
    return {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}


@pytest.mark.parametrize(
    "stubbed", [*(pytest.param((name,), marks=pytest.mark.release) for name in DISPLAY_ONLY), DISPLAY_ONLY]
)
def test_stubs_of_the_display_modules_do_not_change_the_results(toys, shown, monkeypatch, stubbed):
    room = "slimline.stages.training"
    package = importlib.import_module(room)
    for name in [name for name in sys.modules if name.startswith(f"{room}.")]:
        inside = name.removeprefix(f"{room}.")
        if inside not in CONFIGS:  # the given config is an instance of their classes
            monkeypatch.delitem(sys.modules, name)
            monkeypatch.setattr(package, inside, getattr(package, inside))  # so that it is restored
    stubs = {name: MagicMock() for name in stubbed}
    for name, stub in stubs.items():
        monkeypatch.setitem(sys.modules, f"{room}.{name}", stub)
    out = toys.out()
    facts = toys.train(SEEN, out, memory=f"stubbed {stubbed}")
    assert (lasting(facts), files(out)) == shown
    assert stubs[stubbed[0]].mock_calls
