"""The cost of running a network, counted from its graph."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from slimline.stages.networks.graphs.folding import CONVOLUTIONS


def multiply_adds(graph: Any, counts: Callable[[str], bool] = lambda name: True) -> int:
    """Count the multiply-adds of convolutions and matrix products for one image.

    `counts` decides by an operation's name whether it is counted. Each place of a map [batch, height, width, out]
    takes as many as the kernel has values, as in MobileNet's paper (https://arxiv.org/abs/1704.04861); a matrix
    product [batch, out] has one place.
    """
    counted = (one for one in graph.get_operations() if one.type in (*CONVOLUTIONS, "MatMul") and counts(one.name))
    return sum(prod(one.outputs[0].shape[1:-1]) * prod(one.inputs[1].shape) for one in counted)
