"""The update rules of `optimizers.py` for all members of a stack at once, in NumPy: each has its own numbers.

TensorFlow's fused updates take one learning rate, one momentum and so on for a whole variable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any

import numpy as np

from slimline.stages.training.optimizer_config import (
    AdamConfig,
    AdamwConfig,
    MomentumConfig,
    OptimizerConfig,
    RmspropConfig,
)
from slimline.stages.training.optimizers import EMA, SLOTS, is_decayed
from slimline.stages.training.stacked_arrays import Array, select, spread


class StackedOptimizer:
    """Optimizer of the variables `values` [..., members * width], which it changes in place.

    `configs` and `weight_decay` have one item for each member. The configs differ in numbers only.
    """

    def __init__(
        self, configs: Sequence[OptimizerConfig], weight_decay: Sequence[float], values: Mapping[str, Array]
    ) -> None:
        self._configs, self._weight_decay = list(configs), list(weight_decay)
        self._kind, self._averaged = type(configs[0]), bool(configs[0].ema_decay)
        self._state: dict[str, dict[str, Array]] = {}
        for name, value in values.items():
            slots = {slot: np.full_like(value, 1 if slot == "rms" else 0) for slot in SLOTS[self._kind]}
            self._state[name] = {**slots, **({EMA: value.copy()} if self._averaged else {})}
        self._numbers = self._make_numbers(values)

    def _make_numbers(self, values: Mapping[str, Array]) -> dict[str, _Numbers]:
        members = len(self._configs)
        return {
            name: _Numbers(self._configs, self._weight_decay, value.shape[-1] // members)
            for name, value in values.items()
        }

    def keep(self, kept: Sequence[int], values: Mapping[str, Array]) -> None:
        """Remove all members but some; `values` holds the variables of those."""
        members = len(self._configs)
        self._state = {
            name: {slot: select(value, members, kept) for slot, value in slots.items()}
            for name, slots in self._state.items()
        }
        self._configs = [self._configs[place] for place in kept]
        self._weight_decay = [self._weight_decay[place] for place in kept]
        self._numbers = self._make_numbers(values)

    def averages(self, values: Mapping[str, Array]) -> Mapping[str, Array]:
        """Return the variables' moving averages; without `ema_decay`, the variables."""
        return {name: slots[EMA] for name, slots in self._state.items()} if self._averaged else values

    def apply(self, values: Mapping[str, Array], gradients: MutableMapping[str, Array], rates: Array, step: int) -> Any:
        """Update the variables by their gradients, which are overwritten; return each gradient's norm [members].

        `rates` [members] are the learning rates. The norm is that before clipping, with the L2 penalty's gradient.
        """
        decays = {
            name: self._numbers[name].own_decay for name in values if is_decayed(name) and any(self._weight_decay)
        }
        decoupled = self._kind is AdamwConfig
        for name, decay in decays.items():
            if not decoupled:
                gradients[name] += decay * values[name]
        norms = np.sqrt(sum(_square_sums(gradient, len(rates)) for gradient in gradients.values()))
        for name, gradient in gradients.items():
            value, numbers = values[name], self._numbers[name]
            self._clip(numbers, gradient, norms)
            rate = spread(rates, numbers.width)
            if decoupled and name in decays:
                value -= rate * decays[name] * value
            APPLY[self._kind](numbers, value, self._state[name], gradient, rate, np.float32(step + 1))
            if self._averaged:
                average = self._state[name][EMA]
                average -= spread(1 - self._average_decays(step + 1), numbers.width) * (average - value)
        return norms

    def _clip(self, numbers: _Numbers, gradient: Array, norms: Array) -> None:
        if self._configs[0].clip_norm is not None:
            most = np.array([config.clip_norm for config in self._configs], np.float32)
            # Like tf.clip_by_global_norm, which makes all gradients NaN if the norm is not finite.
            gradient *= spread(most * np.minimum(1 / norms, 1 / most) + (norms - norms), numbers.width)
        if self._configs[0].clip_value is not None:
            np.clip(gradient, -numbers.clip_value, numbers.clip_value, out=gradient)

    def _average_decays(self, updates: int) -> Array:
        decays = np.array([config.ema_decay for config in self._configs], np.float32)
        warm = np.array([config.ema_warmup for config in self._configs])
        limited: Array = np.where(warm, np.minimum(decays, np.float32((1 + updates) / (10 + updates))), decays)
        return limited


class _Numbers:
    """The numbers of all members' configs as attributes, for the columns of a variable; `width` is a member's."""

    def __init__(self, configs: Sequence[Any], decays: Sequence[float], width: int) -> None:
        self._configs, self.width = configs, width
        self.own_decay = spread(decays, width)

    def __getattr__(self, name: str) -> Any:
        found = spread([getattr(config, name) for config in self._configs], self.width)
        setattr(self, name, found)  # the next time it is an attribute like any other
        return found


def _square_sums(values: Array, members: int) -> Any:
    """Return the sum of squares of each member's columns [members]."""
    rows = values.reshape(-1, values.shape[-1])
    columns = np.einsum("ij,ij->j", rows, rows)
    return columns.reshape(members, -1).sum(axis=1)


def _apply_momentum(
    numbers: Any, value: Array, slots: dict[str, Array], gradient: Array, rate: Any, updates: Any
) -> None:
    momentum, velocity = numbers.momentum, slots["momentum"]
    velocity *= momentum
    velocity += gradient
    if numbers.nesterov:  # the same for all members: see `Member.form`
        gradient += velocity * momentum
        gradient *= rate
    else:
        np.multiply(velocity, rate, out=gradient)
    value -= gradient


def _apply_adam(numbers: Any, value: Array, slots: dict[str, Array], gradient: Array, rate: Any, updates: Any) -> None:
    beta1, beta2, mean, square = numbers.beta1, numbers.beta2, slots["m"], slots["v"]
    mean += (gradient - mean) * (1 - beta1)
    gradient *= gradient
    square += (gradient - square) * (1 - beta2)
    np.sqrt(square, out=gradient)
    gradient += numbers.epsilon
    np.divide(mean, gradient, out=gradient)
    gradient *= rate * np.sqrt(1 - beta2**updates) / (1 - beta1**updates)
    value -= gradient


def _apply_rmsprop(
    numbers: Any, value: Array, slots: dict[str, Array], gradient: Array, rate: Any, updates: Any
) -> None:
    square, velocity = slots["rms"], slots["momentum"]
    square += (gradient * gradient - square) * (1 - numbers.decay)
    gradient *= rate
    gradient /= np.sqrt(square + numbers.epsilon)
    velocity *= numbers.momentum
    velocity += gradient
    value -= velocity


APPLY: dict[type[OptimizerConfig], Callable[..., None]] = {
    MomentumConfig: _apply_momentum,
    AdamConfig: _apply_adam,
    AdamwConfig: _apply_adam,
    RmspropConfig: _apply_rmsprop,
}
