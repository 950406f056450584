"""Fused and plain variants of each part of training, for comparative timing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from slimline.pipeline.errors import UserError
from slimline.stages.backend.hardware import bfloat16_rewriting, graph_option
from slimline.stages.backend.tensorflow import tf
from slimline.stages.data.drawing.garden import SPECIES, draw_flower
from slimline.stages.fusion.timing import Way
from slimline.stages.models.card import Card
from slimline.stages.networks.architectures.head_scope import SCOPE
from slimline.stages.networks.weights.restore import in_scopes
from slimline.stages.training.config import HEAD, PhaseConfig
from slimline.stages.training.network import phase_network
from slimline.stages.training.optimizer_config import MomentumConfig
from slimline.stages.training.optimizers import APPLY, Optimizer
from slimline.stages.training.trainer import PhaseTrainer, Settings

OPTIMIZER = MomentumConfig(learning_rate=1e-6, nesterov=True)
"""The small learning rate barely changes the weights: steps on weights that are NaN or near 0 take other times."""
HEAD_STEPS, LOSSES, PHOTOS = 50, 100, 32
"""Repetitions per call, for work that takes no longer than the call itself."""
CROP_FRACTION = 0.875


class Model(NamedTuple):
    """A model to train: its card, its weights by name, the phase with the trainable scopes, and the batch size."""

    card: Card
    values: Mapping[str, Any]
    phase: PhaseConfig
    batch_size: int


def make_trainer(
    model: Model, *, fuse: bool = True, pointwise: bool = False, xla: bool = False, cut: bool = False
) -> PhaseTrainer:
    """Create the trainer of a phase, for images [batch, side, side, 3]; with `cut` the network is cut as in train.

    Raises:
        UserError: no variable is in a scope, or the base has no trainable variables.
    """
    names = [name for name in model.values if in_scopes(name, [SCOPE])]
    network = phase_network(model.card, model.phase, names, fuse=fuse, pointwise=pointwise, cut=cut)
    settings = Settings(
        classes=len(model.card.labels),
        seed=0,
        label_smoothing=0.0,
        mixup=0.0,
        class_weights=None,
        batch_norm_decay=0.9,
        xla=xla,
    )
    return PhaseTrainer(network, model.values, lambda variables: Optimizer(OPTIMIZER, variables, 1, 1), settings, 1.0)


def random_examples(model: Model, shape: tuple[int, ...], count: int) -> tuple[Any, Any]:
    """Draw inputs [count, *shape] float32 in [-1, 1] and labels [count] int64."""
    draw = np.random.default_rng(0)
    inputs = draw.uniform(-1, 1, (count, *shape)).astype(np.float32)
    return tf.constant(inputs), tf.constant(draw.integers(len(model.card.labels), size=count))


def step_ways(model: Model, trainer: PhaseTrainer, *, xla: bool, gpu: bool) -> dict[str, Way]:
    """Return the ways to train on one batch of images: `step`, with the given trainer, and a variant per switch."""
    side = model.phase.input_px
    assert side is not None
    inputs, targets = random_examples(model, (side, side, 3), model.batch_size)

    def steps_of(trainer: PhaseTrainer) -> Callable[[], Any]:
        return lambda: trainer.run_step(inputs, targets, 0)

    step = steps_of(trainer)
    # XLA comes first, so that a compile error appears before anything has taken long.
    ways = {"xla": Way(compiled(steps_of(make_trainer(model, xla=True))))} if xla else {}
    ways |= {
        "step": Way(step),
        "plain batch norm": Way(steps_of(make_trainer(model, fuse=False))),
        "pointwise": Way(steps_of(make_trainer(model, pointwise=True))),
        "no remapping": Way(step, within=lambda: graph_option("remapping", False, usual=True)),
        "bfloat16": Way(step, within=lambda: bfloat16_rewriting(True)),
    }
    if gpu:
        ways["float16"] = Way(step, within=lambda: graph_option("auto_mixed_precision", True, usual=False))
    return ways


def compiled(step: Callable[[], Any]) -> Callable[[], Any]:
    """Return `step` wrapped so that an XLA compile error becomes a `UserError`."""

    def run() -> Any:
        try:
            return step()
        except tf.errors.InvalidArgumentError as error:
            raise UserError(
                f"XLA cannot compile this training step: {str(error).splitlines()[0]}",
                "Turn XLA off: fusions.xla=never and fusions.fused.xla=never.",
            ) from error

    return run


def update_ways(model: Model, trained: Mapping[str, Any]) -> dict[str, Way]:
    """Return the ways to update all trained variables with given gradients."""
    draw = np.random.default_rng(0)
    gradients = {
        name: tf.constant(draw.normal(size=variable.shape).astype(np.float32)) for name, variable in trained.items()
    }

    def way(update: Callable[[Any, Any, Any, Any], None]) -> Way:
        variables = {name: tf.Variable(model.values[name]) for name in trained}
        slots = {name: tf.Variable(tf.zeros_like(variable)) for name, variable in variables.items()}

        def run(rate: Any) -> Any:
            for name, variable in variables.items():
                update(variable, slots[name], gradients[name], rate)
            return tf.identity(rate)

        function = tf.function(run, autograph=False)
        return Way(lambda: function(tf.constant(OPTIMIZER.learning_rate)).numpy())

    return {"fused": way(fused_update), "plain": way(plain_update)}


def fused_update(variable: Any, slot: Any, gradient: Any, rate: Any) -> None:
    """Update a variable and its momentum with one operation."""
    APPLY[MomentumConfig](OPTIMIZER, variable, {"momentum": slot.handle}, gradient, rate, None)


def plain_update(variable: Any, slot: Any, gradient: Any, rate: Any) -> None:
    """Update a variable and its momentum with assignments: v = momentum v + g, w -= rate (g + momentum v)."""
    moved = slot.assign(OPTIMIZER.momentum * slot + gradient, read_value=True)
    variable.assign_sub(rate * (gradient + OPTIMIZER.momentum * moved))


def loss_ways(batch_size: int, classes: int) -> dict[str, Way]:
    """Return the ways to compute the loss of logits [batch_size, classes] and its gradient."""
    draw = np.random.default_rng(0)
    begin = tf.constant(draw.normal(size=(batch_size, classes)).astype(np.float32))
    wanted = tf.one_hot(draw.integers(classes, size=batch_size), classes)

    def way(losses: Callable[[Any, Any], Any]) -> Way:
        def once(done: Any, logits: Any) -> tuple[Any, Any]:
            [gradient] = tf.gradients(tf.reduce_mean(losses(wanted, logits)), [logits])
            return done + 1, logits - gradient  # each depends on the previous one, so none is skipped

        def run(logits: Any) -> Any:
            return tf.while_loop(lambda done, _: done < LOSSES, once, (tf.constant(0), logits))[1]

        function = tf.function(run, autograph=False)
        return Way(lambda: function(begin).numpy(), LOSSES)

    return {"fused": way(tf.nn.softmax_cross_entropy_with_logits), "plain": way(plain_cross_entropy)}


def plain_cross_entropy(wanted: Any, logits: Any) -> Any:
    """Return -sum(wanted log softmax(logits)), [batch], with separate operations; the largest logit is subtracted."""
    shifted = logits - tf.stop_gradient(tf.reduce_max(logits, axis=1, keepdims=True))
    total = tf.reduce_sum(tf.exp(shifted), axis=1, keepdims=True)
    return -tf.reduce_sum(wanted * (shifted - tf.math.log(total)), axis=1)


def decode_ways(photos: int = PHOTOS) -> dict[str, Way]:
    """Return the ways to decode the center square of drawn JPEGs, with `CROP_FRACTION` of the shorter side."""
    encoded = tf.constant([draw_flower(SPECIES[number % len(SPECIES)], number, 0) for number in range(photos)])

    def box(one: Any) -> tuple[Any, Any, Any]:
        height, width = tf.unstack(tf.io.extract_jpeg_shape(one)[:2])
        side = tf.cast(tf.cast(tf.minimum(height, width), tf.float32) * CROP_FRACTION, tf.int32)
        return (height - side) // 2, (width - side) // 2, side

    def fused(one: Any) -> Any:
        top, left, side = box(one)
        return tf.io.decode_and_crop_jpeg(one, tf.stack([top, left, side, side]), channels=3)

    def plain(one: Any) -> Any:
        top, left, side = box(one)
        return tf.io.decode_jpeg(one, channels=3)[top : top + side, left : left + side]

    def way(decode: Callable[[Any], Any]) -> Way:
        def run(encoded: Any) -> Any:
            largest = tf.TensorSpec([], tf.uint8)  # maximum of all pixels, so all must be decoded
            return tf.map_fn(lambda one: tf.reduce_max(decode(one)), encoded, fn_output_signature=largest)

        function = tf.function(run, autograph=False)
        return Way(lambda: function(encoded).numpy(), photos)

    return {"fused": way(fused), "plain": way(plain)}


def epoch_ways(model: Model) -> dict[str, Way]:
    """Return the ways to train a head on features in memory: one call for all steps, or one call per step."""
    alone = model._replace(phase=PhaseConfig(trainable=[HEAD]))
    trainer = make_trainer(alone, cut=True)
    width = next(iter(trainer.trained.values())).shape[0]
    inputs, targets = random_examples(alone, (width,), HEAD_STEPS * model.batch_size)
    order = np.random.default_rng(0).permutation(len(targets)).reshape(HEAD_STEPS, model.batch_size)
    features, labels = inputs.numpy(), targets.numpy()

    def one_by_one() -> None:
        for step, row in enumerate(order):
            trainer.run_step(tf.constant(features[row]), tf.constant(labels[row]), step)

    return {
        "fused": Way(lambda: trainer.run_steps(inputs, targets, order, 0), HEAD_STEPS),
        "plain": Way(one_by_one, HEAD_STEPS),
    }
