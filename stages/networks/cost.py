"""What a network costs to run, counted from its graph."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any


def multiply_adds(graph: Any, counts: Callable[[str], bool] = lambda name: True) -> int:
    """Count the multiplications with addition that one image takes in convolutions and matrix products.

    `counts` says by an operation's name whether it is meant. A convolution [batch, height, width, out]
    with a kernel [rows, columns, in, out] takes height * width * rows * columns * in * out of them, as
    MobileNet's paper counts (https://arxiv.org/abs/1704.04861).
    """
    total = 0
    for operation in graph.get_operations():
        if operation.type in _COUNTED and counts(operation.name):
            outputs, weights = operation.outputs[0].shape.as_list(), operation.inputs[1].shape.as_list()
            total += _COUNTED[operation.type](outputs, weights)
    return total


def _convolution(outputs: list[int], weights: list[int]) -> int:
    return outputs[1] * outputs[2] * prod(weights)


def _depthwise(outputs: list[int], weights: list[int]) -> int:
    return outputs[1] * outputs[2] * prod(weights)


def _product(outputs: list[int], weights: list[int]) -> int:
    return prod(weights)


_COUNTED = {"Conv2D": _convolution, "DepthwiseConv2dNative": _depthwise, "MatMul": _product}
