"""Optimizers with one fused update operation per variable, and the steps before it: decay, clipping, averaging.

The state is held by variable name, so that a checkpoint can store it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from slimline.pipeline.errors import UserError
from slimline.stages.backend.tensorflow import tf
from slimline.stages.networks.weights.restore import in_scopes
from slimline.stages.training.optimizer_config import (
    AdamConfig,
    AdamwConfig,
    MomentumConfig,
    OptimizerConfig,
    RmspropConfig,
)
from slimline.stages.training.schedule_config import Schedule
from slimline.stages.training.schedules import end_plateau_epoch, plateau_state, schedule_factor

EMA, ACCUMULATED = "ExponentialMovingAverage", "accumulated"
SLOTS: dict[type[OptimizerConfig], tuple[str, ...]] = {
    MomentumConfig: ("momentum",),
    AdamConfig: ("m", "v"),
    AdamwConfig: ("m", "v"),
    RmspropConfig: ("rms", "momentum"),
}


class Optimizer:
    """Optimizer that applies gradients to variables as `config` says; `state` holds its whole state by unique name."""

    def __init__(
        self,
        config: OptimizerConfig,
        variables: Mapping[str, Any],
        steps_per_epoch: int,
        total_steps: int,
        *,
        factor: float = 1.0,
        weight_decay: float | None = None,
    ) -> None:
        """Create the state of each variable, named `<variable>/<slot>`.

        Steps count batches. `factor` multiplies every rate, and `weight_decay` replaces the config's.

        Raises:
            UserError: there are fewer steps in total than one update needs.
        """
        if 1 < config.accumulate_steps > total_steps:
            raise UserError(
                f"train.optimizer.accumulate_steps={config.accumulate_steps} exceeds the phase's {total_steps} steps,"
                " so nothing would be trained.",
                "Lower accumulate_steps or train.batch_size, or train for more epochs.",
            )
        self._config, self._variables, self._factor = config, dict(variables), factor
        self._updates_per_epoch = steps_per_epoch / config.accumulate_steps
        self._total_updates = total_steps // config.accumulate_steps
        self._weight_decay = config.weight_decay if weight_decay is None else weight_decay
        self._rate_factors = {name: _rate_factor(name, config.learning_rate_factors) for name in variables}
        self.state: dict[str, Any] = plateau_state() if config.schedule is Schedule.plateau else {}
        for name, variable in variables.items():
            self.state |= {f"{name}/{slot}": value for slot, value in _slots(config, variable).items()}

    def rate(self, step: Any) -> Any:
        """Return the learning rate at a step, without `learning_rate_factors`; both are float32 tensors of any shape.

        With the schedule `plateau` the rate may be a scalar, since it is the same for all steps of an epoch.
        """
        config = self._config
        parts = self._update_of(step), self._updates_per_epoch, self._total_updates, self.state
        return config.learning_rate * self._factor * schedule_factor(config, *parts)

    def apply(self, gradients: Mapping[str, Any], step: Any) -> Any:
        """Update every variable by its gradient, and return the gradients' global norm before clipping.

        `step` and the norm are scalar float32 tensors. The norm is that of the mean gradient over the batches since
        the last update, including the gradient of the L2 penalty. An incomplete accumulation after the last step is
        not applied.

        Raises:
            ValueError: a variable has no gradient, or a gradient has no variable.
        """
        if missing := [name for name in self._variables if gradients.get(name) is None]:
            raise ValueError(f"no gradient for {', '.join(missing)}: does the loss depend on it?")
        if unknown := sorted(set(gradients) - set(self._variables)):
            raise ValueError(f"gradients of variables that this optimizer does not train: {', '.join(unknown)}")
        count = self._config.accumulate_steps
        if count == 1:
            gradients = self._penalized(gradients)
            norm = tf.linalg.global_norm(list(gradients.values()))
            return self._update(gradients, norm, step)
        before = tf.math.floormod(step, float(count))
        gradients = self._penalized(self._accumulated(gradients, before + 1))
        norm = tf.linalg.global_norm(list(gradients.values()))
        return tf.cond(before + 1 >= count, lambda: self._update(gradients, norm, step), lambda: norm)

    def averages(self) -> dict[str, Any]:
        """Return each variable's moving average, by the variable's name; without `ema_decay`, the variables."""
        if not self._config.ema_decay:
            return dict(self._variables)
        return {name: self.state[f"{name}/{EMA}"] for name in self._variables}

    def end_epoch(self, validation_loss: float) -> None:
        """Pass an epoch's validation loss to the plateau schedule; other schedules ignore it."""
        if self._config.schedule is Schedule.plateau:
            end_plateau_epoch(self._config, self.state, validation_loss)

    def _update_of(self, step: Any) -> Any:
        count = self._config.accumulate_steps
        return step if count == 1 else tf.floor(step / float(count))

    def _accumulated(self, gradients: Mapping[str, Any], count: Any) -> dict[str, Any]:
        for name, gradient in gradients.items():
            self.state[f"{name}/{ACCUMULATED}"].assign_add(gradient)
        return {name: self.state[f"{name}/{ACCUMULATED}"] / count for name in gradients}

    def _penalized(self, gradients: Mapping[str, Any]) -> dict[str, Any]:
        """Add the gradient of weight_decay / 2 * sum(w^2), unless the decay is decoupled."""
        decay = 0.0 if isinstance(self._config, AdamwConfig) else self._weight_decay
        return {
            name: gradient + decay * self._variables[name] if decay and is_decayed(name) else gradient
            for name, gradient in gradients.items()
        }

    def _update(self, gradients: Mapping[str, Any], norm: Any, step: Any) -> Any:
        config, update, rate = self._config, self._update_of(step), self.rate(step)
        rates = {factor: rate if factor == 1 else rate * factor for factor in set(self._rate_factors.values())}
        for name, gradient in _clipped(config, gradients, norm).items():
            variable, own_rate = self._variables[name], rates[self._rate_factors[name]]
            if isinstance(config, AdamwConfig) and self._weight_decay and is_decayed(name):
                variable.assign_sub(own_rate * self._weight_decay * variable)
            slots = {slot: self.state[f"{name}/{slot}"].handle for slot in SLOTS[type(config)]}
            APPLY[type(config)](config, variable, slots, gradient, own_rate, update)
            if config.accumulate_steps > 1:
                self.state[f"{name}/{ACCUMULATED}"].assign(tf.zeros_like(variable))
        if config.ema_decay:
            self._average(update + 1)
        return norm

    def _average(self, updates: Any) -> None:
        """Update the averages as tf.train.ExponentialMovingAverage does; `updates` is the number of updates so far."""
        decay = self._config.ema_decay
        if self._config.ema_warmup:
            decay = tf.minimum(decay, (1 + updates) / (10 + updates))
        for name, average in self.averages().items():
            average.assign_sub((1 - decay) * (average - self._variables[name]))


def _slots(config: OptimizerConfig, variable: Any) -> dict[str, Any]:
    """Create one variable's state: zeros, but ones for RMSProp's mean square (as in TF-Slim), the value for the EMA."""
    initial = {slot: tf.ones_like if slot == "rms" else tf.zeros_like for slot in SLOTS[type(config)]}
    if config.accumulate_steps > 1:
        initial[ACCUMULATED] = tf.zeros_like
    if config.ema_decay:
        initial[EMA] = tf.identity
    return {slot: tf.Variable(make(variable), trainable=False) for slot, make in initial.items()}


def _rate_factor(name: str, factors: Mapping[str, float]) -> float:
    scopes = [scope for scope in factors if in_scopes(name, [scope])]
    return factors[max(scopes, key=len)] if scopes else 1.0


def is_decayed(name: str) -> bool:
    """Return whether `weight_decay` applies to a variable."""
    return name.rpartition("/")[2] == "weights"


def _clipped(config: OptimizerConfig, gradients: Mapping[str, Any], norm: Any) -> Mapping[str, Any]:
    """Clip the gradients by global norm, then by value; if the norm is not finite, all of them become NaN."""
    values = list(gradients.values())
    if config.clip_norm is not None:
        values, _ = tf.clip_by_global_norm(values, config.clip_norm, use_norm=norm)
    if config.clip_value is not None:
        values = [tf.clip_by_value(value, -config.clip_value, config.clip_value) for value in values]
    return dict(zip(gradients, values, strict=True))


def _apply_momentum(
    config: MomentumConfig, variable: Any, slots: dict[str, Any], gradient: Any, rate: Any, update: Any
) -> None:
    tf.raw_ops.ResourceApplyMomentum(
        var=variable.handle,
        accum=slots["momentum"],
        lr=rate,
        grad=gradient,
        momentum=config.momentum,
        use_nesterov=config.nesterov,
    )


def _apply_adam(
    config: AdamConfig, variable: Any, slots: dict[str, Any], gradient: Any, rate: Any, update: Any
) -> None:
    tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=slots["m"],
        v=slots["v"],
        beta1_power=config.beta1 ** (update + 1),
        beta2_power=config.beta2 ** (update + 1),
        lr=rate,
        beta1=config.beta1,
        beta2=config.beta2,
        epsilon=config.epsilon,
        grad=gradient,
    )


def _apply_rmsprop(
    config: RmspropConfig, variable: Any, slots: dict[str, Any], gradient: Any, rate: Any, update: Any
) -> None:
    tf.raw_ops.ResourceApplyRMSProp(
        var=variable.handle,
        ms=slots["rms"],
        mom=slots["momentum"],
        lr=rate,
        rho=config.decay,
        momentum=config.momentum,
        epsilon=config.epsilon,
        grad=gradient,
    )


APPLY: dict[type[OptimizerConfig], Callable[..., None]] = {
    MomentumConfig: _apply_momentum,
    AdamConfig: _apply_adam,
    AdamwConfig: _apply_adam,
    RmspropConfig: _apply_rmsprop,
}
