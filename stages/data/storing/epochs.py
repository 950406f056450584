"""The order of an epoch's photos: a function of the seed and the epoch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def epoch_order(
    labels: NDArray[np.int64], batch_size: int, *, seed: int, phase: int, epoch: int, balance: bool = False
) -> NDArray[np.int64]:
    """Return the indices of an epoch's photos, [steps, batch size]; photos that don't fill a batch are left out.

    With `balance`, each class gets the same share of the places. Its photos are repeated as often as that takes, each
    used once before any is repeated. `labels` [count] are class numbers.
    """
    draw = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, phase, epoch])))
    order = _balanced(labels, draw) if balance else draw.permutation(len(labels))
    batch_size = min(batch_size, len(labels))
    steps = len(labels) // batch_size
    return order[: steps * batch_size].reshape(steps, batch_size)


def _balanced(labels: NDArray[np.int64], draw: np.random.Generator) -> NDArray[np.int64]:
    classes = np.unique(labels)
    wanted = np.full(len(classes), len(labels) // len(classes))
    wanted[draw.permutation(len(classes))[: len(labels) % len(classes)]] += 1
    chosen = []
    for number, count in zip(classes, wanted, strict=True):
        places = np.flatnonzero(labels == number)
        rounds = -(-count // len(places))
        chosen.append(np.concatenate([draw.permutation(places) for _ in range(rounds)])[:count])
    return draw.permutation(np.concatenate(chosen))
