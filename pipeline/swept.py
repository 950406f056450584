"""What a sweep varies, checked before its first point runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from hydra.core.override_parser.types import Glob, Override

from slimline.pipeline.arguments import parse_override
from slimline.pipeline.composing import compose_config
from slimline.pipeline.config import typed_configs
from slimline.pipeline.config_files import EXPERIMENT
from slimline.pipeline.errors import UserError
from slimline.pipeline.stage import Stage


class Swept(NamedTuple):
    """The arguments of a sweep: `plain` ones, and those that have several values, with what was parsed of them."""

    plain: list[str]
    several: list[tuple[str, Override]]


def check_sweep(arguments: Sequence[str], folder: Path, stages: Mapping[str, Stage]) -> None:
    """Refuse what cannot be swept; `folder` holds the root config.

    Raises:
        UserError: the folder of the runs has several values, experiments cannot be points of one sweep, or a setting
            does not take one of its values.
    """
    parsed = [(argument, parse_override(argument)) for argument in arguments]
    plain = [argument for argument, one in parsed if not one.is_sweep_override()]
    swept = Swept(plain, [(argument, one) for argument, one in parsed if one.is_sweep_override()])
    for argument, _ in swept.several:
        if argument.startswith(("run.name=", "run.directory=")):
            raise UserError(
                f"{argument}: a sweep cannot use several folders of runs.",
                f"Give {argument.partition('=')[0]} one value; all points of a sweep share one folder.",
            )
    _check_experiments(swept, folder, stages)
    _check_values(swept, folder, stages)


def _check_experiments(swept: Swept, folder: Path, stages: Mapping[str, Stage]) -> None:
    """Refuse experiments that cannot be points of one sweep.

    Raises:
        UserError: one lacks the stage that each point runs to, or their runs would be in different folders.
    """
    experiments = next((one for _, one in swept.several if one.key_or_group == EXPERIMENT), None)
    if experiments is None:
        return
    names = []
    for experiment in experiments.sweep_string_iterator():
        config = compose_config([*swept.plain, f"+{EXPERIMENT}={experiment}"], [folder], stages.values()).config
        names.append(config.run.name)
        target = config.run.sweep.target
        if config.get(target) is None:
            raise UserError(
                f"+experiment={experiment} cannot be a point of this sweep: it does not have the stage {target}, "
                "which each point runs.",
                "Sweep over experiments that have it, or set run.sweep.target=STAGE.",
            )
    if len(set(names)) > 1:
        raise UserError(
            f"The experiments write their runs to different folders: {', '.join(dict.fromkeys(names))}.",
            "Add run.name=NAME, so that they can be compared in one folder.",
        )


def _check_values(swept: Swept, folder: Path, stages: Mapping[str, Stage]) -> None:
    """Refuse a value that a setting does not take; each is tried with the first of all others.

    Raises:
        UserError: a point of the sweep has such a value.
    """
    if any(not one.is_discrete_sweep() or isinstance(one.value(), Glob) for _, one in swept.several):
        return  # a sweeper chooses these values
    values = [
        [f"{text.partition('=')[0]}={value}" for value in one.sweep_string_iterator()] for text, one in swept.several
    ]
    first = [points[0] for points in values]
    for place, points in enumerate(values):
        for point in points if place == 0 else points[1:]:
            together = [*swept.plain, *first[:place], point, *first[place + 1 :]]
            typed_configs(compose_config(together, [folder], stages.values()).config, stages)
