"""Steps of a phase, compared with formulas in NumPy: loss, mixup, class weights and batch norm statistics."""

from __future__ import annotations

import numpy as np
import pytest

from slimline.stages.backend.tensorflow import tf
from slimline.stages.models.card import read_card
from slimline.stages.networks.architectures.heads import make_head
from slimline.stages.training import trainer as phase_trainer
from slimline.stages.training.config import BatchNorm
from slimline.stages.training.network import PhaseNetwork, phase_network
from slimline.stages.training.optimizers import MomentumConfig, Optimizer
from slimline.stages.training.schedule_config import Schedule
from slimline.stages.training.trainer import PhaseTrainer, Settings
from tests.stages.toy_training import SIDE, phase

pytestmark = pytest.mark.slow

CLASSES, WIDTH, BATCH, RATE = 3, 5, 6, 0.1
WEIGHTS, BIASES = "Head/Logits/weights", "Head/Logits/biases"
DRAW = np.random.default_rng(0)
INPUTS = DRAW.normal(size=(BATCH, WIDTH)).astype(np.float32)
TARGETS = np.array([0, 1, 2, 2, 1, 0])
START = {
    WEIGHTS: DRAW.normal(size=(WIDTH, CLASSES)).astype(np.float32),
    BIASES: DRAW.normal(size=CLASSES).astype(np.float32),
}
NETWORK = PhaseNetwork(None, None, None, (), make_head(CLASSES), [WEIGHTS, BIASES], [WEIGHTS, BIASES])


def settings(**changes):
    plain = {"seed": 3, "label_smoothing": 0.0, "mixup": 0.0, "class_weights": None, "batch_norm_decay": 0.9}
    return Settings(classes=CLASSES, xla=False, **{**plain, **changes})


def trainer(network=NETWORK, values=START, scale=1.0, optimizer=None, **changes):
    """Return a trainer with gradient descent at a constant rate, without momentum."""
    plain = {"learning_rate": RATE, "schedule": Schedule.constant, "momentum": 0.0}
    config = MomentumConfig(**{**plain, **(optimizer or {})})
    return PhaseTrainer(network, values, lambda own: Optimizer(config, own, 2, 8), settings(**changes), scale)


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def by_formula(inputs, wanted, weights=None, values=START):
    """Return the mean loss, and the weights and biases after one step of plain gradient descent."""
    inputs = inputs.astype(np.float64)
    chances = softmax(inputs @ values[WEIGHTS] + values[BIASES])
    weights = np.ones(len(inputs)) if weights is None else weights
    loss = np.mean(weights * -np.sum(wanted * np.log(chances), axis=1))
    error = weights[:, None] * (chances * wanted.sum(axis=1, keepdims=True) - wanted) / len(inputs)
    return loss, values[WEIGHTS] - RATE * inputs.T @ error, values[BIASES] - RATE * error.sum(axis=0)


def check_step(made, wanted):
    sums = made.run_step(tf.constant(INPUTS), tf.constant(TARGETS), 0)
    loss, weights, biases = wanted
    assert sums.loss == pytest.approx(loss, rel=1e-5)
    assert sums.bad_step is None
    assert made.variables[WEIGHTS].numpy() == pytest.approx(weights, abs=1e-6)
    assert made.variables[BIASES].numpy() == pytest.approx(biases, abs=1e-6)
    return sums


ONE_HOT = np.eye(CLASSES)[TARGETS]


def test_a_step_is_gradient_descent_on_the_cross_entropy():
    loss, weights, biases = by_formula(INPUTS, ONE_HOT)
    sums = check_step(trainer(), (loss, weights, biases))
    gradients = np.concatenate([((START[WEIGHTS] - weights) / RATE).ravel(), (START[BIASES] - biases) / RATE])
    assert sums.norm == pytest.approx(np.linalg.norm(gradients), rel=1e-4)
    assert sums.hits == pytest.approx(np.mean((INPUTS @ START[WEIGHTS] + START[BIASES]).argmax(axis=1) == TARGETS))


def test_the_bottleneck_is_scaled():
    check_step(trainer(scale=1.75), by_formula(1.75 * INPUTS, ONE_HOT))


def test_label_smoothing_spreads_a_fraction_over_all_classes():
    check_step(trainer(label_smoothing=0.3), by_formula(INPUTS, 0.7 * ONE_HOT + 0.1))


def test_class_weights_multiply_the_losses():
    weights = np.array([2.0, 0.5, 1.0], np.float32)
    check_step(trainer(class_weights=weights), by_formula(INPUTS, ONE_HOT, weights[TARGETS]))


def test_mixup_mixes_each_batch_with_its_reverse(monkeypatch):
    monkeypatch.setattr(phase_trainer, "_beta", lambda alpha, seed: tf.constant(0.7))
    inputs, wanted = (0.7 * one + 0.3 * one[::-1] for one in (INPUTS, ONE_HOT))
    weights = np.array([2.0, 0.5, 1.0], np.float32)
    check_step(trainer(mixup=0.4), by_formula(inputs, wanted))
    mixed = (wanted @ weights, 0.8 * wanted + 0.2 / CLASSES)
    check_step(
        trainer(mixup=0.4, class_weights=weights, label_smoothing=0.2), by_formula(inputs, mixed[1], weights=mixed[0])
    )


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_mixup_draws_from_a_beta_distribution(alpha):
    @tf.function(autograph=False)
    def draw():
        seeds = tf.stack([tf.fill([2000], 5), tf.range(2000)], 1)
        return tf.map_fn(lambda seed: phase_trainer._beta(alpha, seed), seeds, fn_output_signature=tf.float32)

    draws = draw().numpy()
    assert draws.min() >= 0
    assert draws.max() <= 1
    assert draws.mean() == pytest.approx(0.5, abs=0.03)
    assert draws.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.1)


def test_a_step_depends_on_its_number_and_the_seed():
    found = []
    for seed, step in ((3, 0), (3, 0), (3, 1), (4, 0)):
        sums = trainer(mixup=0.4, seed=seed).run_step(tf.constant(INPUTS), tf.constant(TARGETS), step)
        found.append(sums.loss)
    assert found[0] == found[1]
    assert len(set(found)) == 3


ORDER = np.array([[0, 1, 2], [5, 4, 3], [2, 2, 0], [1, 3, 5]])


@pytest.mark.parametrize("options", [{}, {"mixup": 0.3, "optimizer": {"momentum": 0.9, "ema_decay": 0.9}}])
def test_a_whole_epoch_in_one_call_equals_its_steps(options):
    whole, single = trainer(**options), trainer(**options)
    together = whole.run_steps(tf.constant(INPUTS), tf.constant(TARGETS), ORDER, 4)
    apart = [
        single.run_step(tf.constant(INPUTS[row]), tf.constant(TARGETS[row]), 4 + number)
        for number, row in enumerate(ORDER)
    ]
    for place, name in enumerate(("loss", "hits", "norm")):
        assert getattr(together, name) == pytest.approx(sum(sums[place] for sums in apart), rel=1e-5)
    for name, value in single.state().items():
        assert whole.state()[name].numpy() == pytest.approx(value.numpy(), abs=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_the_first_nan_or_infinite_step_is_returned(bad):
    inputs = INPUTS.copy()
    inputs[4] = bad
    assert trainer().run_steps(tf.constant(inputs), tf.constant(TARGETS), ORDER, 8).bad_step == 9
    assert trainer().run_step(tf.constant(inputs), tf.constant(TARGETS), 5).bad_step == 5
    good = ORDER[[0, 2, 3]]
    assert trainer().run_steps(tf.constant(inputs), tf.constant(TARGETS), good, 8).bad_step is None


def test_the_averages_are_kept_and_scored():
    made = trainer(optimizer={"ema_decay": 0.9, "ema_warmup": False})
    made.run_step(tf.constant(INPUTS), tf.constant(TARGETS), 0)
    kept, moved = made.weights(), {name: variable.numpy() for name, variable in made.variables.items()}
    for name in (WEIGHTS, BIASES):
        assert kept[name] == pytest.approx(0.9 * START[name] + 0.1 * moved[name], abs=1e-6)
    logits = made.logits(iter([tf.constant(INPUTS[:4]), tf.constant(INPUTS[4:])]), 4)
    assert logits == pytest.approx(INPUTS @ kept[WEIGHTS] + kept[BIASES], abs=1e-5)


def test_a_restored_trainer_continues_bit_for_bit():
    options = {"optimizer": {"momentum": 0.9, "ema_decay": 0.9, "accumulate_steps": 3}}
    made, other = trainer(**options), trainer(**options)
    batch = tf.constant(INPUTS), tf.constant(TARGETS)
    for step in range(4):
        made.run_step(*batch, step)
    other.restore({name: value.numpy() for name, value in made.state().items()})
    assert made.run_step(*batch, 4) == other.run_step(*batch, 4)
    for name, value in made.state().items():
        assert value.numpy().tobytes() == other.state()[name].numpy().tobytes()


@pytest.fixture(scope="module")
def moving(toys):
    """A factory of trainers of the toy network with batch statistics, the initial values, and three batches."""
    values = toys.untrained()
    heads = [WEIGHTS, BIASES]
    network = phase_network(read_card(toys.head.path), phase("all", batch_norm=BatchNorm.update), heads, fuse=True)
    batches = np.random.default_rng(1).normal(0.3, 0.5, (3, 4, SIDE, SIDE, 3)).astype(np.float32)
    batches *= np.array([1, 2, 3], np.float32).reshape(3, 1, 1, 1, 1)
    return lambda: trainer(network, values, optimizer={"learning_rate": 1e-9}), values, batches


MEAN, VARIANCE = "Toy/Conv_0/BatchNorm/moving_mean", "Toy/Conv_0/BatchNorm/moving_variance"


def first_statistics(values, batch):
    """Return the mean and the unbiased variance of the first convolution's outputs, by channel."""
    maps = tf.nn.conv2d(batch, values["Toy/Conv_0/weights"], 2, "SAME").numpy().astype(np.float64).reshape(-1, 8)
    return maps.mean(axis=0), maps.var(axis=0, ddof=1)


def test_a_step_updates_the_moving_averages_by_their_decay(moving):
    make, values, batches = moving
    made = make()
    made.run_step(tf.constant(batches[0]), tf.constant([0, 1, 2, 0]), 0)
    for name, found in zip((MEAN, VARIANCE), first_statistics(values, batches[0]), strict=True):
        assert made.variables[name].numpy() == pytest.approx(0.9 * values[name] + 0.1 * found, rel=1e-4, abs=1e-5)


def test_recalibrated_moving_averages_are_the_mean_over_all_batches(moving):
    make, values, batches = moving
    made = make()
    made.recalibrate(tf.constant(batch) for batch in batches)
    found = np.mean([first_statistics(values, batch) for batch in batches], axis=0)
    assert made.variables[MEAN].numpy() == pytest.approx(found[0], rel=1e-4, abs=1e-5)
    assert made.variables[VARIANCE].numpy() == pytest.approx(found[1], rel=1e-4)
    for name in made.trained:
        assert made.variables[name].numpy().tobytes() == values[name].tobytes()


def test_scores_with_batch_statistics_do_not_use_the_moving_averages(moving):
    make, values, batches = moving
    made = make()
    both = [made.logits(iter([tf.constant(batches[0])]), 4, batch_mode=mode) for mode in (False, True)]
    made.variables[MEAN].assign(values[MEAN] + 5)
    again = [made.logits(iter([tf.constant(batches[0])]), 4, batch_mode=mode) for mode in (False, True)]
    assert not np.allclose(both[0], again[0], rtol=0.01)
    assert both[1].tobytes() == again[1].tobytes()
