"""Search: the next points of a sweep with intervals, proposed by Optuna from the points that are finished.

Optuna's own storage is not used: the sweep's journal holds every point, and a study in memory is built from it for each
batch. So the journal of a killed search is the one thing that has to be complete, and no lock of Optuna's can be left
behind. A batch is drawn with a seed of its own from the points of the batches before it, so that a resumed search
draws the points that it would have drawn.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from slimline.pipeline.errors import UserError
from slimline.pipeline.sweeping.objectives import Objective
from slimline.pipeline.sweeping.points import PRUNED
from slimline.pipeline.sweeping.ranking import Scored
from slimline.pipeline.sweeping.space import Dimension, Interval, Space, Values, number_text

if TYPE_CHECKING:
    import optuna

BATCH = 8
POINTS = 32
"""The points of a search whose number is not given."""
MOST_REPEATS = 20
DIGITS = 4
"""Significant digits of a proposed number: enough for any setting, and readable."""
PACKAGE = "optuna>=4.9,<6"


def check_optuna(space: Space) -> None:
    """Check that Optuna is installed if an interval is to be searched.

    Raises:
        UserError: it is not.
    """
    try:
        import optuna  # noqa: F401
    except ImportError:
        name = next(one.name for one in space.dimensions if one.interval)
        raise UserError(
            f"{name} is searched in an interval, which needs the package optuna.",
            f"Install it: pip install '{PACKAGE}'. Or write values, such as {name}=0.01,0.1, which needs no package.",
        ) from None


def propose(
    space: Space,
    values: Mapping[int, Values],
    finished: Sequence[Scored],
    objectives: Sequence[Objective],
    seed: int,
    count: int,
) -> list[Values]:
    """Return the values of the next `count` points; `finished` are the points so far, in the order of their numbers."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    batch = len(finished) // BATCH
    sampler = optuna.samplers.TPESampler(
        seed=(seed * 100_003 + batch) % (2**32 - 1), n_startup_trials=BATCH, multivariate=True, constant_liar=True
    )
    study = optuna.create_study(
        sampler=sampler, directions=["maximize" if one.maximize else "minimize" for one in objectives]
    )
    space_of_optuna = {one.name: _distribution(one) for one in space.dimensions}
    for one in finished:
        study.add_trial(_trial(one, values[one.number], space, space_of_optuna, objectives))
    known = [values[one.number] for one in finished]
    found: list[Values] = []
    while len(found) < min(count, space.size - len(known)):
        found.append(_ask(study, space, space_of_optuna, [*known, *found]))
    return found


def _ask(study: optuna.study.Study, space: Space, distributions: Mapping[str, Any], known: list[Values]) -> Values:
    """Return a proposal that is not known yet, if there is one."""
    new: Values = {}
    for _ in range(MOST_REPEATS):
        trial = study.ask(dict(distributions))
        new = {one.name: _text(one, trial.params[one.name]) for one in space.dimensions}
        if new not in known:
            return new
    return new if math.isinf(space.size) else _first_unknown(space, known)


def _first_unknown(space: Space, known: list[Values]) -> Values:
    """Return the first point of a space of finitely many that is not known."""
    names = [one.name for one in space.dimensions]
    every = (
        dict(zip(names, one, strict=True)) for one in itertools.product(*(one.every() for one in space.dimensions))
    )
    return next(one for one in every if one not in known)


def _distribution(one: Dimension) -> optuna.distributions.BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if one.interval is None:
        return CategoricalDistribution(one.values)
    low, high, log, whole = one.interval.low, one.interval.high, one.interval.log, one.interval.whole
    return IntDistribution(int(low), int(high), log=log) if whole else FloatDistribution(low, high, log=log)


def _trial(
    one: Scored,
    values: Values,
    space: Space,
    distributions: Mapping[str, optuna.distributions.BaseDistribution],
    objectives: Sequence[Objective],
) -> optuna.trial.FrozenTrial:
    from optuna.trial import TrialState, create_trial

    params = {each.name: _number(each, values[each.name]) for each in space.dimensions}
    about: dict[str, Any] = {"params": params, "distributions": dict(distributions)}
    if one.score is not None:
        return create_trial(
            values=[each.loss(loss) for each, loss in zip(objectives, one.losses, strict=True)], **about
        )
    curve = one.outcome.seeds[-1].curve if one.status == PRUNED and one.outcome.seeds else ()
    if curve:
        return create_trial(state=TrialState.PRUNED, intermediate_values=dict(enumerate(curve)), **about)
    return create_trial(state=TrialState.FAIL, **about)


def _number(one: Dimension, text: str) -> Any:
    return text if one.interval is None else int(text) if one.interval.whole else float(text)


def _text(one: Dimension, value: Any) -> str:
    """Write a proposed value; a number is rounded to a few digits inside its interval."""
    return str(value) if one.interval is None else number_text(_rounded(float(value), one.interval), one.interval.whole)


def _rounded(value: float, interval: Interval) -> float:
    if interval.whole or value == 0:
        return value
    rounded = round(value, DIGITS - 1 - math.floor(math.log10(abs(value))))
    return min(max(rounded, interval.low), interval.high)
