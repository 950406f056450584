from __future__ import annotations

import pytest

from slimline.pipeline.sweeping.objectives import Objective
from slimline.pipeline.sweeping.pruning import FIRST_EPOCHS, FIRST_POINTS, MedianRule
from slimline.pipeline.watching import Pruned, report, watching

TOP1 = Objective("train.top1", True)
EARLIER = [[value] * 20 for value in (0.5, 0.6, 0.7, 0.8)]


def epochs_until_the_end(
    curve: list[float], earlier: list[list[float]] = EARLIER, objective: Objective = TOP1
) -> int | None:
    """Return the epoch in which a training with this curve ends early, or None."""
    rule = MedianRule(objective, earlier)
    for epoch in range(1, len(curve) + 1):
        try:
            rule("train", {"top1": curve[:epoch]})
        except Pruned:
            return epoch
    return None


def test_a_training_below_the_median_ends_after_the_first_epochs() -> None:
    assert epochs_until_the_end([0.64] * 20) == FIRST_EPOCHS + 1  # the median is 0.65
    assert epochs_until_the_end([0.66] * 20) is None
    assert epochs_until_the_end([0.65] * 20) is None


def test_the_best_value_so_far_counts() -> None:
    assert epochs_until_the_end([0.9, *[0.1] * 19]) is None
    assert epochs_until_the_end([*[0.1] * FIRST_EPOCHS, 0.9, *[0.1] * 10]) is None


def test_the_first_points_are_never_ended_early() -> None:
    assert epochs_until_the_end([0.0] * 20, EARLIER[: FIRST_POINTS - 1]) is None
    assert epochs_until_the_end([0.0] * 20, [*EARLIER[: FIRST_POINTS - 1], []]) is None  # a point without a curve
    assert epochs_until_the_end([0.0] * 20, EARLIER[:FIRST_POINTS]) == FIRST_EPOCHS + 1


def test_it_is_compared_with_the_same_epoch_of_the_others() -> None:
    slow = [[epoch / 20 for epoch in range(20)]] * 4
    assert epochs_until_the_end([epoch / 20 for epoch in range(20)], slow) is None
    assert epochs_until_the_end([epoch / 40 for epoch in range(20)], slow) == FIRST_EPOCHS + 1


def test_a_point_that_stopped_by_itself_counts_with_its_last_value() -> None:
    assert epochs_until_the_end([0.6] * 20, [[0.7]] * 4) == FIRST_EPOCHS + 1


def test_less_is_better_with_a_minus() -> None:
    loss = Objective("train.top1", False)
    assert epochs_until_the_end([0.66] * 20, objective=loss) == FIRST_EPOCHS + 1
    assert epochs_until_the_end([0.64] * 20, objective=loss) is None


def test_a_resumed_training_keeps_the_curve_of_an_undisturbed_one() -> None:
    whole, resumed = MedianRule(TOP1, []), MedianRule(TOP1, [])
    for epoch in range(1, 6):
        whole("train", {"top1": [0.1, 0.3, 0.2, 0.5, 0.4][:epoch]})
    resumed("train", {"top1": [0.1, 0.3, 0.2, 0.5, 0.4]})
    assert whole.curve == resumed.curve == [0.1, 0.3, 0.3, 0.5, 0.5]


def test_other_stages_and_facts_are_ignored() -> None:
    rule = MedianRule(TOP1, EARLIER)
    rule("features", {"top1": [0.0] * 20})
    rule("train", {"loss": [0.0] * 20})
    assert rule.curve == []


def test_a_report_reaches_those_that_watch_and_nobody_else() -> None:
    seen: list[tuple[str, dict[str, list[float]]]] = []
    with watching(lambda stage, measures: seen.append((stage, dict(measures)))):  # type: ignore[arg-type]
        report("train", {"top1": [0.5]})
    report("train", {"top1": [0.6]})
    assert seen == [("train", {"top1": [0.5]})]


def test_nobody_watches_after_a_training_that_ended_early() -> None:
    with pytest.raises(Pruned, match=r"after \d+ epochs: top1 0\.0000, the median is 0\.6500"):  # noqa: SIM117
        with watching(MedianRule(TOP1, EARLIER)):
            report("train", {"top1": [0.0] * 20})
    report("train", {"top1": [0.0] * 20})
