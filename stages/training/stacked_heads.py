"""Heads of equal layers as one network in NumPy: one product gives the first layer's outputs of all of them.

NumPy, because it works in place and needs no tracing: a step of 32 linear heads takes about a millisecond of processor
time, and tracing the step of a single one in TensorFlow 170.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slimline.stages.training.stacked_arrays import Array, by_member, select


def _swish_slope(net: Array, result: Array) -> Array:
    chance: Array = np.divide(1, 1 + np.exp(-net), dtype=np.float32)
    return chance + result * (1 - chance)


ACTIVATIONS: dict[str, tuple[Callable[[Array], Array], Callable[[Array, Array], Array]]] = {
    "relu": (lambda net: np.maximum(net, 0), lambda net, result: (result > 0).astype(np.float32)),
    "relu6": (lambda net: np.clip(net, 0, 6), lambda net, result: ((result > 0) & (result < 6)).astype(np.float32)),
    "swish": (lambda net: net / (1 + np.exp(-net)), _swish_slope),
    "tanh": (np.tanh, lambda net, result: 1 - result * result),
}
"""The activations of `make_head`, each with its slope as a function of its input and its result."""


class Result(NamedTuple):
    """A step's gradients by name, and each member's mean loss and share of correct predictions [members]."""

    gradients: dict[str, Array]
    loss: Array
    hits: Array


@dataclass
class _Layer:
    """A layer's inputs for some columns of its outputs, the mask of their dropout, and its activation's slope."""

    inputs: list[tuple[slice, Array]]
    mask: Array | None = None
    slope: Array | None = None


class StackedHeads:
    """The heads of a stack's members: `values` holds weights [inputs, members * outputs] and biases, by name.

    `dropout` and `smoothing` [members] are each member's rate of dropout, equal rates next to each other, and its label
    smoothing.
    """

    def __init__(
        self,
        initial: Sequence[Mapping[str, Array]],
        activation: str,
        dropout: Sequence[float],
        smoothing: Sequence[float],
    ) -> None:
        """Take the initial values of each member, by the names of a single head's variables."""
        self.members, self._activation = len(initial), activation
        self.scopes = list(dict.fromkeys(name.rpartition("/")[0] for name in initial[0]))  # in order of construction
        self.values = {name: np.concatenate([one[name] for one in initial], axis=-1) for name in initial[0]}
        self._dropout, self._smoothing = np.array(dropout), np.array(smoothing, np.float32)

    def keep(self, kept: Sequence[int]) -> None:
        """Remove all members but some."""
        self.values = {name: select(value, self.members, kept) for name, value in self.values.items()}
        self._dropout, self._smoothing = self._dropout[list(kept)], self._smoothing[list(kept)]
        self.members = len(kept)

    def input_widths(self) -> list[int]:
        """Return the number of inputs of each layer."""
        return [len(self.values[f"{scope}/weights"]) for scope in self.scopes]

    def drops(self) -> bool:
        """Return whether any member uses dropout."""
        return bool(self._dropout.any())

    def logits(self, inputs: Array, values: Mapping[str, Array]) -> Array:
        """Return the logits [members, count, classes] of inputs [count, width] with the weights `values`."""
        found, _ = self._forward(inputs, values, ())
        return np.ascontiguousarray(by_member(found, self.members))

    def step(self, inputs: Array, targets: NDArray[np.int64], draws: Sequence[Array]) -> Result:
        """Return the gradients and measures of a batch [batch, width] of the class numbers `targets` [batch].

        `draws` holds uniform numbers [batch, inputs] for each layer, from which dropout decides; empty without dropout.
        """
        logits, layers = self._forward(inputs, self.values, draws)
        loss, hits, upper = softmax_loss(logits, targets, self._smoothing)
        gradients: dict[str, Array] = {}
        for scope, layer in zip(reversed(self.scopes), reversed(layers), strict=True):
            if layer.slope is not None:
                upper *= layer.slope
            weights = self.values[f"{scope}/weights"]
            found = gradients[f"{scope}/weights"] = np.empty_like(weights)
            gradients[f"{scope}/biases"] = upper.sum(axis=0)
            if layer is layers[0]:
                for columns, shared in layer.inputs:
                    np.matmul(shared.T, upper[:, columns], out=found[:, columns])
            else:
                [(_, below)] = layer.inputs
                parts, transposed = by_member(upper, self.members), (0, 2, 1)
                np.matmul(by_member(below, self.members).transpose(transposed), parts, out=self._split(found))
                upper = np.empty_like(below)
                np.matmul(parts, self._split(weights).transpose(transposed), out=self._split(upper))
                if layer.mask is not None:
                    upper *= layer.mask
        return Result(gradients, loss, hits)

    def _split(self, values: Array) -> Array:
        return by_member(values, self.members)

    def _forward(
        self, inputs: Array, values: Mapping[str, Array], draws: Sequence[Array]
    ) -> tuple[Array, list[_Layer]]:
        """Return the logits [count, members * classes], and what the backward pass needs of each layer."""
        net, layers = inputs, list[_Layer]()
        for number, scope in enumerate(self.scopes):
            weights, biases = values[f"{scope}/weights"], values[f"{scope}/biases"]
            result: Array = np.empty((len(inputs), biases.size), np.float32)
            if number == 0:
                layer = _Layer(self._first_inputs(net, biases.size // self.members, draws))
                for columns, shared in layer.inputs:
                    np.matmul(shared, weights[:, columns], out=result[:, columns])
            else:
                mask = self._mask(draws[number]) if draws else None
                layer = _Layer([(slice(None), net if mask is None else net * mask)], mask)
                np.matmul(self._split(layer.inputs[0][1]), self._split(weights), out=self._split(result))
            result += biases
            layers.append(layer)
            net = result
            if number + 1 < len(self.scopes):
                function, slope = ACTIVATIONS[self._activation]
                net = function(result)
                layer.slope = slope(result, net)
        return net, layers

    def _first_inputs(self, inputs: Array, width: int, draws: Sequence[Array]) -> list[tuple[slice, Array]]:
        """Return the inputs of the first layer, for the columns of the members that drop the same share of them."""
        if not draws:
            return [(slice(None), inputs)]
        found = []
        for rate in dict.fromkeys(self._dropout.tolist()):
            [places] = np.nonzero(self._dropout == rate)
            columns = slice(places[0] * width, (places[-1] + 1) * width)
            found.append((columns, inputs * _kept_scale(rate) * (draws[0] >= np.float32(rate)) if rate else inputs))
        return found

    def _mask(self, draws: Array) -> Array:
        """Return the factors [batch, members * width] of a hidden layer's outputs, from draws [batch, width]."""
        rates = self._dropout[:, None]
        masks: Array = (draws[:, None, :] >= rates.astype(np.float32)) * _kept_scale(rates)
        return masks.reshape(len(draws), -1)


def _kept_scale(rate: Any) -> Any:
    """Return the factor of what dropout does not set to zero, as in `stateless_dropout`."""
    return np.float32(1 / (1 - rate))


def softmax_loss(logits: Array, targets: NDArray[np.int64], smoothing: Array) -> tuple[Array, Array, Array]:
    """Return each member's mean cross-entropy and share of correct predictions, and the gradient at the logits.

    `logits` and the gradient are [batch, members * classes], `targets` [batch] are class numbers, and the others are
    [members].
    """
    batch, members = len(logits), len(smoothing)
    # The classes go first: NumPy sums the first axis ten times as fast as such a short last one.
    net = np.ascontiguousarray(logits.reshape(batch, members, -1).transpose(2, 0, 1))
    classes, rows = len(net), np.arange(batch)
    hits: Array = np.mean(net.argmax(axis=0) == targets[:, None], axis=0, dtype=np.float32)
    net -= net.max(axis=0)
    own = net[targets, rows]
    total = net.sum(axis=0)
    chances = np.exp(net, out=net)
    scale = chances.sum(axis=0)
    losses = np.log(scale) - (1 - smoothing) * own - (smoothing / classes) * total
    chances /= scale
    chances -= smoothing / np.float32(classes)
    chances[targets, rows] -= 1 - smoothing
    chances /= np.float32(batch)
    gradient = np.ascontiguousarray(chances.transpose(1, 2, 0)).reshape(batch, -1)
    loss: Array = losses.mean(axis=0)
    return loss, hits, gradient
