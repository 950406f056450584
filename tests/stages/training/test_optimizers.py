"""Optimizers with their decay, clipping and averaging, compared with formulas in NumPy."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from slimline.pipeline.errors import UserError
from slimline.stages.backend.tensorflow import tf
from slimline.stages.training.optimizer_config import (
    OPTIMIZERS,
    AdamConfig,
    AdamwConfig,
    MomentumConfig,
    RmspropConfig,
    check_scopes,
)
from slimline.stages.training.optimizers import Optimizer
from slimline.stages.training.schedule_config import Schedule

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
GRADIENTS = (0.5, -0.25, 1.0, 0.125)
WEIGHTS, BIASES, DEPTHWISE = "Net/Conv/weights", "Net/Conv/biases", "Net/Conv/depthwise_weights"


def make(kind, **settings):
    return kind(**{"learning_rate": 0.1, "schedule": Schedule.constant, **settings})


def trained(config, gradients=GRADIENTS, names=("w",), **arguments):
    """Train variables that start at 1 on the same gradients; return the variables, the optimizer and the norms."""
    variables = {name: tf.Variable([1.0]) for name in names}
    optimizer = Optimizer(config, variables, steps_per_epoch=2, total_steps=8, **arguments)
    norms = []
    for step, gradient in enumerate(gradients):
        given = {name: tf.constant(np.reshape(gradient, [1]), tf.float32) for name in names}
        norms.append(float(optimizer.apply(given, tf.constant(float(step)))))
    return {name: float(variable[0]) for name, variable in variables.items()}, optimizer, norms


def by_momentum(gradients, rate=0.1, momentum=0.9, nesterov=False, l2=0.0):
    weight, velocity = 1.0, 0.0
    for gradient in gradients:
        gradient = gradient + l2 * weight
        velocity = momentum * velocity + gradient
        weight -= rate * (gradient + momentum * velocity if nesterov else velocity)
    return weight


def by_adam(gradients, rate=0.1, l2=0.0, decoupled=0.0):
    weight, m, v = 1.0, 0.0, 0.0
    for step, gradient in enumerate(gradients, 1):
        gradient = gradient + l2 * weight
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        decay = rate * decoupled * weight
        weight -= rate * np.sqrt(1 - 0.999**step) / (1 - 0.9**step) * m / (np.sqrt(v) + 1e-8) + decay
    return weight


def by_rmsprop(gradients, rate=0.1, l2=0.0):
    weight, mean_square, velocity = 1.0, 1.0, 0.0
    for gradient in gradients:
        gradient = gradient + l2 * weight
        mean_square = 0.9 * mean_square + 0.1 * gradient**2
        velocity = 0.9 * velocity + rate * gradient / np.sqrt(mean_square + 1.0)
        weight -= velocity
    return weight


FORMULAS = [
    (make(MomentumConfig), by_momentum(GRADIENTS)),
    (make(MomentumConfig, momentum=0.0), 1 - 0.1 * sum(GRADIENTS)),
    (make(MomentumConfig, nesterov=True), by_momentum(GRADIENTS, nesterov=True)),
    (make(AdamConfig), by_adam(GRADIENTS)),
    (make(AdamwConfig, weight_decay=0.0), by_adam(GRADIENTS)),
    (make(RmspropConfig), by_rmsprop(GRADIENTS)),
]


@pytest.mark.parametrize(("config", "wanted"), FORMULAS)
def test_each_optimizer_follows_its_formula(config, wanted):
    assert trained(config)[0]["w"] == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        (MomentumConfig, by_momentum(GRADIENTS, l2=0.3)),
        (AdamConfig, by_adam(GRADIENTS, l2=0.3)),
        (AdamwConfig, by_adam(GRADIENTS, decoupled=0.3)),
        (RmspropConfig, by_rmsprop(GRADIENTS, l2=0.3)),
    ],
)
def test_only_weights_are_decayed(kind, wanted):
    values, _, _ = trained(make(kind, weight_decay=0.3), names=(WEIGHTS, BIASES, DEPTHWISE))
    assert values[WEIGHTS] == pytest.approx(wanted, rel=1e-5)
    undecayed = trained(make(kind, weight_decay=0.0))[0]["w"]
    assert values[BIASES] == values[DEPTHWISE] == undecayed != values[WEIGHTS]


@pytest.mark.parametrize("kind", [MomentumConfig, AdamwConfig])
def test_a_phase_can_have_its_own_decay(kind):
    wanted = trained(make(kind, weight_decay=0.3), names=(WEIGHTS,))[0]
    assert trained(make(kind, weight_decay=0.1), names=(WEIGHTS,), weight_decay=0.3)[0] == wanted
    none = trained(make(kind, weight_decay=0.1), names=(WEIGHTS,), weight_decay=0.0)[0]
    assert none[WEIGHTS] == trained(make(kind, weight_decay=0.0))[0]["w"]


def test_the_penalty_equals_an_l2_loss():
    weights = tf.Variable([[0.5, -2.0]])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(weights**3) + 0.3 * tf.nn.l2_loss(weights)
    wanted = weights - 0.1 * tape.gradient(loss, weights)
    config = make(MomentumConfig, weight_decay=0.3)
    Optimizer(config, {WEIGHTS: weights}, 1, 1).apply({WEIGHTS: 3 * weights**2}, tf.constant(0.0))
    assert weights.numpy() == pytest.approx(wanted.numpy(), rel=1e-6)


def stepped(gradients, **settings):
    """Return the change by one step of plain gradient descent at rate 1, for each gradient, and the norm."""
    variables = {name: tf.Variable(tf.zeros_like(value)) for name, value in gradients.items()}
    config = make(MomentumConfig, learning_rate=1.0, **settings)
    norm = Optimizer(config, variables, 1, 1).apply(gradients, tf.constant(0.0))
    return {name: -variable.numpy() for name, variable in variables.items()}, float(norm)


def test_clipping_by_global_norm():
    gradients = {"a": tf.constant([3.0, 0.0]), "b": tf.constant([[4.0]])}
    for limit, factor in ((1.0, 0.2), (10.0, 1.0), (None, 1.0)):
        steps, norm = stepped(gradients, clip_norm=limit)
        assert norm == pytest.approx(5.0)
        assert steps["a"] == pytest.approx(np.array([3.0, 0.0]) * factor)
        assert steps["b"] == pytest.approx(np.array([[4.0]]) * factor)


def test_clipping_by_value_follows_clipping_by_norm():
    gradients = {"a": tf.constant([3.0, -4.0, 0.25])}
    assert stepped(gradients, clip_value=0.5)[0]["a"] == pytest.approx([0.5, -0.5, 0.25])
    scaled = np.array([3.0, -4.0, 0.25]) / np.sqrt(25.0625)
    assert stepped(gradients, clip_norm=1.0, clip_value=0.7)[0]["a"] == pytest.approx(np.clip(scaled, -0.7, 0.7))


def test_clipping_does_not_hide_an_infinite_norm():
    steps, norm = stepped({"a": tf.constant([np.inf]), "b": tf.constant([1.0])}, clip_norm=1.0)
    assert np.isinf(norm)
    assert np.isnan(steps["b"]).all()


KINDS = [kind for _, kind in sorted(OPTIMIZERS.items())]


@pytest.mark.parametrize("kind", KINDS)
def test_accumulated_batches_equal_one_batch_of_their_mean(kind):
    batches = np.array([[0.5, -0.25, 1.5], [1.0, 0.125, 0.0], [0.75, 0.75, 9.0]])
    settings = {"weight_decay": 0.3, "clip_norm": 0.5, "ema_decay": 0.9}
    config = make(kind, accumulate_steps=3, **settings)
    values, optimizer, norms = trained(config, batches[:, :].ravel()[:8], names=(WEIGHTS,))
    wanted, same, wanted_norms = trained(make(kind, **settings), batches.mean(1)[:2], names=(WEIGHTS,))
    assert values == pytest.approx(wanted, rel=1e-6)  # the two last batches wait for a third
    assert norms[2::3] == pytest.approx(wanted_norms, rel=1e-6)
    assert float(optimizer.averages()[WEIGHTS][0]) == pytest.approx(float(same.averages()[WEIGHTS][0]), rel=1e-6)
    assert float(optimizer.state[f"{WEIGHTS}/accumulated"][0]) == 1.5


def test_without_accumulation_there_is_no_extra_state_or_operation():
    _, optimizer, _ = trained(make(MomentumConfig), names=(WEIGHTS,))
    assert set(optimizer.state) == {f"{WEIGHTS}/momentum"}
    traced = tf.function(optimizer.apply, autograph=False).get_concrete_function(
        {WEIGHTS: tf.constant([1.0])}, tf.constant(0.0)
    )
    assert not [node.name for node in traced.graph.as_graph_def().node if node.op in ("If", "StatelessIf", "FloorMod")]


@pytest.mark.parametrize("warmup", [True, False])
def test_the_moving_average_equals_tensorflows(warmup):
    weights, updates = tf.Variable([1.0]), tf.Variable(0.0)
    reference = tf.train.ExponentialMovingAverage(0.26, num_updates=updates if warmup else None)
    shadow, factors = 1.0, []
    config = make(MomentumConfig, ema_decay=0.26, ema_warmup=warmup)
    optimizer = Optimizer(config, {"w": weights}, 2, 8)
    reference.apply([weights])
    assert float(optimizer.averages()["w"][0]) == 1.0
    for step, gradient in enumerate(GRADIENTS):
        optimizer.apply({"w": tf.constant([gradient])}, tf.constant(float(step)))
        updates.assign(step + 1.0)
        reference.apply([weights])
        factors.append(min(0.26, (2 + step) / (11 + step)) if warmup else 0.26)
        shadow = factors[-1] * shadow + (1 - factors[-1]) * float(weights[0])
        assert float(optimizer.averages()["w"][0]) == pytest.approx(shadow, rel=1e-5)
        assert reference.average(weights).numpy() == pytest.approx(shadow, rel=1e-5)
    assert len(set(factors)) == (3 if warmup else 1)
    assert optimizer.averages()["w"] is optimizer.state["w/ExponentialMovingAverage"]


def test_without_averaging_the_averages_are_the_variables():
    _, optimizer, _ = trained(make(MomentumConfig), names=(WEIGHTS, BIASES))
    assert list(optimizer.averages()) == [WEIGHTS, BIASES]
    assert all(float(value[0]) == pytest.approx(by_momentum(GRADIENTS)) for value in optimizer.averages().values())


@pytest.mark.parametrize("kind", KINDS)
def test_the_longest_matching_scope_sets_the_rate_factor(kind):
    factors = {"Net": 0.5, "Net/Block/fc": 0.0, "Net/Block": 0.1}
    names = ("Net/stem/weights", "Net/Block/weights", "Net/Block/fc/weights", "Net/Blocks/weights", "Head/weights")
    config = make(kind, learning_rate_factors=factors, weight_decay=0.3)
    values, _, _ = trained(config, names=names, factor=0.2)
    for name, factor in zip(names, (0.5, 0.1, 0.0, 0.5, 1.0), strict=True):
        alone = make(kind, learning_rate=0.02 * factor, weight_decay=0.3) if factor else None
        wanted = trained(alone, names=(name,))[0][name] if alone else 1.0
        assert values[name] == pytest.approx(wanted, rel=1e-6), name


def test_a_scope_without_variables_is_rejected():
    names = ["MobilenetV1/Conv2d_0/weights", "MobilenetV1/Conv2d_1_pointwise/weights", "Head/Logits/biases"]
    check_scopes(make(MomentumConfig, learning_rate_factors={"MobilenetV1/Conv2d_0": 0.1, "Head/": 2.0}), names)
    similar = r"in the scope 'MobilenetV1/Conv2d_1'.*\nSimilar scopes: .*Conv2d_1_pointwise"
    with pytest.raises(UserError, match=similar):
        check_scopes(make(MomentumConfig, learning_rate_factors={"MobilenetV1/Conv2d_1": 0.1}), names)
    with pytest.raises(UserError, match=r"scope 'zzz'.*\nSimilar scopes: MobilenetV1, MobilenetV1/Conv2d_0, "):
        check_scopes(make(MomentumConfig, learning_rate_factors={"zzz": 0.1}), names)


def run_in_one_function(optimizer, variables, begin, end):
    """Run steps as a trainer does, in a while loop, on gradients that depend on the weights and the step."""

    def one_step(step, norms):
        position = tf.cast(step, tf.float32)
        gradients = {
            name: tf.sin(variable * (index + 3.0) + position)
            for index, (name, variable) in enumerate(variables.items())
        }
        return step + 1, norms + optimizer.apply(gradients, position)

    loop = tf.function(
        lambda: tf.while_loop(lambda step, _: step < end, one_step, (tf.constant(begin), tf.constant(0.0)))[1],
        autograph=False,
    )
    return float(loop())


def all_values(optimizer, variables):
    return {name: variable.numpy() for name, variable in {**variables, **optimizer.state}.items()}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("schedule", [Schedule.cosine, Schedule.plateau])
def test_a_restored_optimizer_continues_bit_for_bit(kind, schedule):
    config = kind(
        schedule=schedule,
        warmup_epochs=0.5,
        plateau_patience_epochs=1,
        weight_decay=0.1,
        clip_norm=0.9,
        accumulate_steps=3,
        learning_rate_factors={"Net": 0.7},
        ema_decay=0.99,
    )

    def start():
        draw = np.random.default_rng(0)
        variables = {name: tf.Variable(draw.normal(size=(4, 3)).astype(np.float32)) for name in (WEIGHTS, BIASES)}
        return variables, Optimizer(config, variables, steps_per_epoch=8, total_steps=40)

    variables, optimizer = start()
    for begin, end in ((0, 8), (8, 16), (16, 24), (24, 32)):
        run_in_one_function(optimizer, variables, begin, end)
        optimizer.end_epoch(0.123456789)
        if end == 16:  # in the middle of an accumulation
            saved = all_values(optimizer, variables)
    other_variables, other = start()
    for name, variable in {**other_variables, **other.state}.items():
        variable.assign(saved[name])
    for begin, end in ((16, 24), (24, 32)):
        run_in_one_function(other, other_variables, begin, end)
        other.end_epoch(0.123456789)
    wanted, resumed = all_values(optimizer, variables), all_values(other, other_variables)
    assert set(wanted) == set(resumed)
    assert [name for name, value in wanted.items() if not np.array_equal(value, resumed[name])] == []
    assert np.any(saved[f"{WEIGHTS}/accumulated"])
    assert np.any(wanted[WEIGHTS] != saved[WEIGHTS])


@pytest.mark.parametrize("kind", KINDS)
def test_steps_in_one_loop_equal_single_steps(kind):
    config = make(kind, accumulate_steps=2, ema_decay=0.9, weight_decay=0.1)
    ends = []
    for limits in ([(0, 7)], [(step, step + 1) for step in range(7)]):
        variables = {WEIGHTS: tf.Variable([0.5, -1.0])}
        optimizer = Optimizer(config, variables, 2, 8)
        norm = sum(run_in_one_function(optimizer, variables, *limit) for limit in limits)
        ends.append({**all_values(optimizer, variables), "norm": norm})
    for name, value in ends[0].items():
        assert value == pytest.approx(ends[1][name], rel=1e-6), name
    assert ends[0]["norm"] > 0


def test_a_variable_without_a_gradient_is_named():
    optimizer = Optimizer(make(MomentumConfig), {"a": tf.Variable([1.0]), "b": tf.Variable([1.0])}, 1, 1)
    one, step = tf.constant([1.0]), tf.constant(0.0)
    for gradients in ({"a": one, "b": None}, {"a": one}):
        with pytest.raises(ValueError, match="no gradient for b"):
            optimizer.apply(gradients, step)
    with pytest.raises(ValueError, match="variables that this optimizer does not train: c"):
        optimizer.apply({"a": one, "b": one, "c": one}, step)


def test_accumulating_more_steps_than_there_are_is_rejected():
    with pytest.raises(UserError, match="accumulate_steps=4 exceeds the phase's 3 steps"):
        Optimizer(make(MomentumConfig, accumulate_steps=4), {}, steps_per_epoch=3, total_steps=3)


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (MomentumConfig, {"weight_decay": -1.0}, "weight_decay=-1 is"),
        (MomentumConfig, {"momentum": 1.5}, "momentum=1.5 is"),
        (MomentumConfig, {"clip_norm": 0.0}, "clip_norm=0 is"),
        (MomentumConfig, {"clip_value": -1.0}, "clip_value=-1 is"),
        (MomentumConfig, {"accumulate_steps": 0}, "accumulate_steps=0 is"),
        (MomentumConfig, {"ema_decay": 1.0}, "ema_decay=1 is"),
        (MomentumConfig, {"learning_rate_factors": {"Net/a": -1.0}}, r"learning_rate_factors\[Net/a\]=-1 is"),
        (AdamConfig, {"beta1": 1.0}, "beta1=1 is"),
        (AdamwConfig, {"beta2": 1.0}, "beta2=1 is"),
        (AdamConfig, {"epsilon": -1.0}, "epsilon=-1 is"),
        (RmspropConfig, {"decay": 1.5}, "decay=1.5 is"),
    ],
)
def test_values_out_of_range_are_rejected(kind, settings, message):
    with pytest.raises(UserError, match=f"train.optimizer.{message} out of range"):
        kind(**settings)


@pytest.mark.parametrize("option", sorted(OPTIMIZERS))
def test_each_option_file_has_every_setting_of_its_schema(option):
    text = (ROOT / "conf/train" / f"{option}.yaml").read_text(encoding="utf-8")
    given = OmegaConf.create(text)
    defaults = given.pop("defaults")
    assert defaults == [f"{option.rpartition('/')[2]}_schema"]
    typed = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(OPTIMIZERS[option]), given))
    assert set(given) == set(asdict(typed))
    commented = [line for line in text.splitlines() if line.partition(":")[0] in given]
    assert [line for line in commented if "  # " not in line] == []


def test_the_rmsprop_option_has_tf_slims_settings():
    given = OmegaConf.load(ROOT / "conf/train/optimizer/rmsprop.yaml")
    # defaults of the flags of TF-Slim's train_image_classifier.py: those of the schedule, and of the optimizer
    schedule = {"learning_rate": 0.01, "schedule": "exponential", "decay_factor": 0.94, "decay_epochs": 2.0}
    own = {"decay": 0.9, "momentum": 0.9, "epsilon": 1.0, "weight_decay": 0.00004, "staircase": True}
    assert {**given, **schedule, **own} == given


def test_configs_do_not_import_tensorflow():
    code = "import slimline.stages.training.optimizer_config, sys; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
