"""What a sweep varies, checked before its first point: a value that no point can take is refused at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slimline.pipeline.config import typed_configs
from slimline.pipeline.config_files import EXPERIMENT
from slimline.pipeline.errors import UserError
from slimline.pipeline.stage import Stage
from slimline.pipeline.sweeping.composer import PointComposer
from slimline.pipeline.sweeping.space import Space

MOST_CHECKED = 100
"""Values of one setting that are tried before the sweep begins. The others are refused as points of it."""


def check_space(space: Space, composer: PointComposer, stages: Mapping[str, Stage]) -> None:
    """Try each value of each setting with the first of all others.

    Raises:
        UserError: a setting does not take a value, or experiments cannot be points of one sweep.
        HydraException: a choice does not exist.
    """
    first = {one.name: one.ends()[0] for one in space.dimensions}
    for place, one in enumerate(space.dimensions):
        names = []
        experiments = one.name.lstrip("+") == EXPERIMENT
        for value in one.ends()[0 if place == 0 or experiments else 1 : MOST_CHECKED]:
            values = {**first, one.name: value}
            config = composer.compose(space.overrides(values), [f"{name}={text}" for name, text in values.items()])
            if experiments:
                _check_experiment(value, config)
                names.append(config.run.name)
            typed_configs(config, stages)
        if len(set(names)) > 1:
            raise UserError(
                f"The experiments write their runs to different folders: {', '.join(dict.fromkeys(names))}.",
                "Add run.name=NAME, so that they can be compared in one folder.",
            )


def _check_experiment(name: str, config: Any) -> None:
    target = config.run.sweep.target
    if config.get(target) is None:
        raise UserError(
            f"+experiment={name} cannot be a point of this sweep: it does not have the stage {target}, "
            "which each point runs.",
            "Sweep over experiments that have it, or set run.sweep.target=STAGE.",
        )
