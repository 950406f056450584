"""Optimizers, each update one fused operation a variable, and learning-rate schedules.

State lives beside the variable, by name, so that a checkpoint can hold it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from pipeline.config import require_range


class Schedule(Enum):
    """How the learning rate goes: as it is, or down to zero along half a cosine."""

    constant = "constant"
    cosine = "cosine"
    exponential = "exponential"


@dataclass
class OptimizerConfig:
    """What all optimizers have; `weight_decay` is the L2 penalty's factor on weights, biases spared."""

    learning_rate: float = 0.1
    schedule: Schedule = Schedule.cosine
    warmup_epochs: float = 0.0
    decay_factor: float = 0.94
    decay_epochs: float = 2.0
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        require_range("train.optimizer.learning_rate", self.learning_rate, 1e-12, 1e6)
        require_range("train.optimizer.warmup_epochs", self.warmup_epochs, 0, 1e6)
        require_range("train.optimizer.decay_factor", self.decay_factor, 1e-12, 1)
        require_range("train.optimizer.decay_epochs", self.decay_epochs, 1e-6, 1e9)
        require_range("train.optimizer.weight_decay", self.weight_decay, 0, 1e6)


@dataclass
class MomentumConfig(OptimizerConfig):
    """Stochastic gradient descent with momentum: v = momentum v + g; w -= rate v (Nesterov: rate (g + momentum v))."""

    momentum: float = 0.9
    nesterov: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require_range("train.optimizer.momentum", self.momentum, 0, 1)


@dataclass
class AdamConfig(OptimizerConfig):
    """Adam, https://arxiv.org/abs/1412.6980."""

    learning_rate: float = 0.001
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        super().__post_init__()
        require_range("train.optimizer.beta1", self.beta1, 0, 1)
        require_range("train.optimizer.beta2", self.beta2, 0, 1)
        require_range("train.optimizer.epsilon", self.epsilon, 0, 1e6)


@dataclass
class RmspropConfig(OptimizerConfig):
    """RMSProp with momentum, at TF-Slim's defaults (decay 0.9, momentum 0.9, epsilon 1.0)."""

    learning_rate: float = 0.01
    decay: float = 0.9
    momentum: float = 0.9
    epsilon: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_range("train.optimizer.decay", self.decay, 0, 1)
        require_range("train.optimizer.momentum", self.momentum, 0, 1)
        require_range("train.optimizer.epsilon", self.epsilon, 0, 1e6)


SLOTS = {MomentumConfig: ("momentum",), AdamConfig: ("m", "v"), RmspropConfig: ("rms", "momentum")}


class Optimizer:
    """Applies gradients to variables, as `config` says, over `total_steps` steps."""

    def __init__(
        self, config: OptimizerConfig, variables: Mapping[str, Any], steps_per_epoch: int, total_steps: int
    ) -> None:
        """Make the state that each variable needs, named `<variable>/<slot>`, at zero (RMSProp's `rms` at one)."""
        from stages.tensorflow import tf

        self._config, self._variables = config, variables
        self._steps_per_epoch, self._total_steps = steps_per_epoch, total_steps
        self.state = {
            f"{name}/{slot}": tf.Variable(
                tf.ones_like(variable) if slot == "rms" else tf.zeros_like(variable), trainable=False
            )
            for name, variable in variables.items()
            for slot in SLOTS[type(config)]
        }

    def rate(self, step: Any) -> Any:
        """Return the learning rate at a step (a scalar float32 tensor), counted from 0."""
        from stages.tensorflow import tf

        config = self._config
        warmup_steps = config.warmup_epochs * self._steps_per_epoch
        done = tf.maximum(step - warmup_steps, 0.0) / max(self._total_steps - warmup_steps, 1.0)
        factors = {
            Schedule.constant: tf.ones_like(step),
            Schedule.cosine: 0.5 * (1 + tf.cos(math.pi * tf.minimum(done, 1.0))),
            Schedule.exponential: config.decay_factor ** tf.floor(step / (config.decay_epochs * self._steps_per_epoch)),
        }
        warm = tf.minimum((step + 1) / warmup_steps, 1.0) if warmup_steps else 1.0
        return config.learning_rate * warm * factors[config.schedule]

    def apply(self, gradients: Mapping[str, Any], step: Any) -> None:
        """Update each named variable by its gradient, one fused operation each; `step` is a scalar float32 tensor."""
        from stages.tensorflow import tf

        rate, config = self.rate(step), self._config
        for name, gradient in gradients.items():
            variable = self._variables[name]
            slots = {slot: self.state[f"{name}/{slot}"].handle for slot in SLOTS[type(config)]}
            if isinstance(config, MomentumConfig):
                tf.raw_ops.ResourceApplyMomentum(
                    var=variable.handle,
                    accum=slots["momentum"],
                    lr=rate,
                    grad=gradient,
                    momentum=config.momentum,
                    use_nesterov=config.nesterov,
                )
            elif isinstance(config, AdamConfig):
                tf.raw_ops.ResourceApplyAdam(
                    var=variable.handle,
                    m=slots["m"],
                    v=slots["v"],
                    beta1_power=config.beta1 ** (step + 1),
                    beta2_power=config.beta2 ** (step + 1),
                    lr=rate,
                    beta1=config.beta1,
                    beta2=config.beta2,
                    epsilon=config.epsilon,
                    grad=gradient,
                )
            elif isinstance(config, RmspropConfig):
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
