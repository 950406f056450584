"""The sweeper that Hydra starts for `-m`, and the part of a sweep that runs in a launcher's process."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from slimline.pipeline.config import typed_configs
from slimline.pipeline.errors import UserError
from slimline.pipeline.runner import writable_directory
from slimline.pipeline.settings import read_settings
from slimline.pipeline.store import Store
from slimline.pipeline.sweeping.chain import Chain
from slimline.pipeline.sweeping.checking import check_space
from slimline.pipeline.sweeping.composer import PointComposer
from slimline.pipeline.sweeping.ending import Context
from slimline.pipeline.sweeping.folder import SweepFolder
from slimline.pipeline.sweeping.points import prepare
from slimline.pipeline.sweeping.running import SweepRun
from slimline.pipeline.sweeping.space import Space, read_space
from slimline.pipeline.sweeping.sweep import Sweep
from slimline.pipeline.sweeping.units import Unit
from slimline.pipeline.sweeping.workers import SWEEP
from slimline.pipeline.sweeping.working import Work, varied_stages

NAME = "slimline"
MODULE = f"hydra_plugins.{NAME}"
BASIC = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"

_context: list[Context] = []
"""What the command line gave to `use_sweeper`; Hydra creates the sweeper itself, from its config alone."""


@dataclass
class SlimlineSweeperConf:
    """The config of the sweeper, in Hydra's group `hydra/sweeper`: `params` are sweeps that a file keeps."""

    _target_: str = f"{MODULE}.SlimlineSweeper"
    params: dict[str, Any] | None = None
    max_batch_size: int | None = None


class SlimlineSweeper(Sweeper):
    """Hydra's entry into a sweep: it hands the arguments to `SweepRun`."""

    def __init__(self, params: dict[str, Any] | None = None, max_batch_size: int | None = None) -> None:
        self._params, self._batch = dict(params or {}), max_batch_size

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self._hydra, self._task, self._config = hydra_context, task_function, config

    def sweep(self, arguments: list[str]) -> Any:
        """Run the sweep; `arguments` are the settings as typed, which come before those of `params`."""
        loader, arguments = self._hydra.config_loader, list(_context[-1].arguments or arguments)
        typed = OverridesParser.create(loader).parse_overrides(arguments)
        keys = {one.key_or_group for one in typed}
        kept = [_argument(name, value) for name, value in self._params.items() if name.lstrip("+") not in keys]
        space = read_space([*kept, *arguments], loader, read_settings(_context[-1].stages.values()))
        composer = PointComposer(loader, self._config)
        check_space(space, composer, _context[-1].stages)
        SweepRun(_context[-1], composer, space, self._launch if self._uses_launcher() else None).execute()

    def _uses_launcher(self) -> bool:
        """Whether points run in processes of Hydra's launcher, or with callbacks or an environment of their own."""
        hydra = self._config.hydra
        return bool(hydra.launcher._target_ != BASIC or hydra.get("callbacks") or hydra.job.env_set)

    def _launch(self, points: list[list[str]]) -> None:
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=self._hydra, task_function=self._task, config=self._config
        )
        size = self._batch or max(len(points), 1)
        for first in range(0, len(points), size):
            launcher.launch(points[first : first + size], initial_job_idx=first)
        if "joblib" in type(launcher).__module__:  # its processes would otherwise outlive this one, with warnings
            from joblib.externals.loky import get_reusable_executor

            get_reusable_executor().shutdown(wait=True)


def _argument(name: str, value: Any) -> str:
    """Write a setting of `hydra.sweeper.params` as it would be typed; the items of a list are the values of points.

    Raises:
        UserError: it has no values, or holds settings of its own.
    """
    if isinstance(value, Mapping) or value in (None, "", []):
        raise UserError(
            f"hydra.sweeper.params: {name} {'holds settings' if value else 'has no values'}.",
            f"Write the whole name of a setting, and its values in one text: {name}: 1,2,3",
        )
    items = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    return f"{name}={','.join(str(item).lower() if isinstance(item, bool) else str(item) for item in items)}"


def use_sweeper(context: Context) -> None:
    """Make the sweeper known to Hydra, for the sweeps of this process.

    Hydra accepts plug-ins only from modules below `hydra_plugins`, and imports them by name. It finds no such folder in
    an editable install, so this module is entered under such a name.
    """
    _context.append(context)
    SlimlineSweeper.__module__ = MODULE
    parent = MODULE.partition(".")[0]
    try:
        import_module(parent)
    except ImportError:
        sys.modules[parent] = ModuleType(parent)
    sys.modules[MODULE] = sys.modules[__name__]
    Plugins.instance().register(SlimlineSweeper)
    ConfigStore.instance().store(group="hydra/sweeper", name=NAME, node=SlimlineSweeperConf, provider="slimline")


def in_sweep() -> bool:
    """Whether this process runs points for the launcher of a sweep."""
    return SWEEP in os.environ


def run_point(config: DictConfig, overrides: Sequence[str], context: Context) -> None:
    """Compute one point of the sweep that this process was launched for.

    Raises:
        UserError: the sweep does not have this point.
    """
    folder = SweepFolder(Path(os.environ[SWEEP]))
    run, _ = typed_configs(config, context.stages)
    sweep = Sweep(folder, Space((), ()), 0)
    sweep.sync()
    typed = set(overrides)
    own = {number: {f"{name}={text}" for name, text in values.items()} for number, values in sweep.values.items()}
    number = next((number for number, texts in own.items() if texts <= typed), None)
    if number is None:
        raise UserError(f"The sweep {folder.name} has no point with {' '.join(overrides)}.", "Start it with -m again.")
    chain = Chain(Store(writable_directory(run) / "store", context.display_only), run.force)
    sweep.compute_alone(
        number,
        lambda: Unit([prepare(number, list(overrides), config, context.stages, chain)]),
        Work(run.sweep, chain, varied_stages(folder.about["settings"], run.sweep.target)),
    )
