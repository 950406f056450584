"""What is to be seen of a phase: profiles."""

from __future__ import annotations

from dataclasses import replace

import pytest

from slimline.stages.backend.tensorflow import tf
from slimline.stages.images.augmentation_config import CropConfig
from slimline.stages.training.tensorboard import LOOKED_AT
from slimline.stages.training.trainer import PhaseTrainer
from tests.stages.toy_training import SIDE, WIDTH, config, kept_bytes, phase


@pytest.fixture
def profiled(monkeypatch):
    """What a training did, in order: a profile's `start` and `stop`, and each `step` that was run by itself."""
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
    """Return a function whose call of that number fails."""
    calls = iter(range(1, number + 1))

    def call(*arguments, **options):
        if next(calls) == number:
            raise RuntimeError("no memory")
        return function(*arguments, **options)

    return call


def test_a_profile_of_so_many_steps_changes_no_bit(toys, profiled):
    one = config(phase("Toy/Conv_1_pointwise+", augment=True), augmentation=CropConfig())
    out, plain = toys.out(), toys.out()
    toys.train(replace(one, profile_steps=3), out)
    assert profiled[:8] == ["step", "step", "start", "step", "step", "step", "stop", "step"]
    assert profiled.count("start") == 1
    assert list((out / "logs").rglob("*.xplane.pb"))
    toys.train(one, plain)
    assert kept_bytes(out) == kept_bytes(plain)


def test_a_profile_ends_with_a_training_that_fails(toys, profiled, monkeypatch):
    monkeypatch.setattr(PhaseTrainer, "run_step", failing_at(5, PhaseTrainer.run_step))
    one = config(phase("Toy/Conv_1_pointwise+", augment=True), augmentation=CropConfig(), profile_steps=100)
    with pytest.raises(RuntimeError, match="no memory"):
        toys.train(one, toys.out())
    assert profiled == ["step", "step", "start", "step", "step", "stop"]


def test_activations_are_shown_of_a_few_photos(toys):
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
    assert activations[:, 2].sum() == LOOKED_AT * side * side * WIDTH
