"""Learning-rate range test: rates and averages by formula, and suggestions for losses with a known best rate."""

from __future__ import annotations

import math

import numpy as np
import pytest

from slimline.pipeline.errors import UserError
from slimline.stages.training.learning_rate_finder import HIGHEST, LOWEST, STEPS, Trial, rates, smoothed, suggest


def test_rates_are_a_geometric_progression():
    found = np.array(rates())
    assert (found[0], found[-1], len(found)) == (LOWEST, pytest.approx(HIGHEST), STEPS)
    assert found[1:] / found[:-1] == pytest.approx((HIGHEST / LOWEST) ** (1 / (STEPS - 1)))


def test_smoothing_is_a_weighted_mean_of_the_losses_so_far():
    losses = [3.0, 1.0, 4.0, 1.5]
    for count, found in enumerate(smoothed(losses), 1):
        weights = 0.9 ** np.arange(count)[::-1]
        assert found == pytest.approx(np.average(losses[:count], weights=weights))
    assert smoothed([2.0] * 5) == pytest.approx([2.0] * 5)


def descent(curvatures, limit=4.0):
    """Run gradient descent on sum(c w^2) / 2 with rising rates; end as the range test does, when the loss diverges."""
    weights, losses = np.ones(len(curvatures)), []
    for rate in rates():
        losses.append(float(np.sum(curvatures * weights**2) / 2))
        average = smoothed(losses)
        if average[-1] > limit * min(average):
            break
        weights = weights * (1 - rate * curvatures)
    return [Trial(rate, loss) for rate, loss in zip(rates(), smoothed(losses), strict=False)]


@pytest.mark.parametrize("scale", [0.5, 10.0, 1000.0])
def test_on_a_quadratic_the_suggestion_is_in_the_right_decade(scale):
    # at 2 / scale descent diverges along the steepest axis; at 1 / scale it reaches the minimum in one step
    found = suggest(descent(scale * np.array([1.0, 0.5, 0.2])))
    assert 0.1 / scale < found < 1.0 / scale


def test_the_suggestion_is_where_the_loss_falls_fastest():
    found = np.array(rates())
    losses = 2 - np.tanh(3 * (np.log10(found) + 2))  # falls fastest at 0.01
    assert suggest([Trial(*one) for one in zip(found, losses, strict=True)]) == pytest.approx(0.01, rel=0.15)


def test_a_loss_that_ends_at_its_minimum_does_not_move_the_suggestion_to_the_end():
    found = np.array(rates())[:100]  # up to 0.75: the loss of the next step was NaN
    losses = 2 - np.tanh(3 * (np.log10(found) + 3)) - 0.01 * np.arange(100) / 100
    assert suggest([Trial(*one) for one in zip(found, losses, strict=True)]) == pytest.approx(0.001, rel=0.15)


@pytest.mark.parametrize("count", [0, 1, 9])
def test_too_few_steps_are_rejected(count):
    with pytest.raises(UserError, match=f"ended after {count} steps, which are too few for a suggestion"):
        suggest([Trial(rate, 1.0) for rate in rates()[:count]])


def test_a_loss_that_only_rises_suggests_the_lowest_rates():
    trials = [Trial(rate, math.exp(number / 50)) for number, rate in enumerate(rates())]
    assert suggest(trials) < 1e-5
