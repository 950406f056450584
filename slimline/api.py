"""The Python API: run an experiment, and load an existing run.

This module is the composition root for callers in Python, as slimline.pipeline.cli is for the command line.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from threading import RLock

from slimline.pipeline.arguments import parse_override, rewrite_arguments
from slimline.pipeline.composing import Composed, compose_config
from slimline.pipeline.config_files import EXPERIMENT
from slimline.pipeline.config_folders import ConfigFolders, find_config_folders, know_added_configs
from slimline.pipeline.errors import UserError
from slimline.pipeline.mistyped import check_typed, read_vocabulary
from slimline.pipeline.plugins import Stages, plugin_config_folders
from slimline.pipeline.refusals import REFUSALS, expand_home, explain
from slimline.pipeline.runner import execute
from slimline.pipeline.settings import config_keys, read_settings
from slimline.pipeline.stage import Stage
from slimline.results import Run, load_run
from slimline.running_tensorflow import check_running_tensorflow, functions_as_graphs
from slimline.stages.table import DISPLAY_ONLY
from slimline.stages.table import STAGES as OWN_STAGES

log = logging.getLogger(__name__)

CONF = Path(__file__).parent / "conf"
STAGES: Mapping[str, Stage] = Stages(OWN_STAGES)
NAME = re.compile(r"[\w.-]+(/[\w.-]+)*")

_composing = RLock()
"""Guards the record of config files that are in use, which is global to the process."""

_one_at_a_time = RLock()
"""Guards TensorFlow's global seed and graph options, which training sets: runs in one process take turns."""


def run(experiment: str | None = None, *overrides: str, config_dir: str | PathLike[str] | None = None) -> Run:
    """Run an experiment as `python -m pipeline +experiment=...` does, into a new directory below `runs/`.

    Results of earlier runs are reused. A line about each stage goes to the logger `slimline` at level INFO. The
    function may be called from any thread, and in an application that uses Hydra or TensorFlow itself. A second call
    waits for the first.

    Args:
        experiment: The name of an experiment, such as `"flowers"`; None if the overrides choose everything.
        *overrides: Choices and settings as on the command line, such as `"head=mlp"` and `"train.epochs=3"`.
        config_dir: A folder with your own configs, which is searched before the shipped ones. Without it, `./conf` is
            searched if it contains one of Slimline's groups. A line is logged for each shipped file that is replaced.

    Returns:
        The run, with its metrics, facts, predictions and model.

    Raises:
        UserError: A mistake in the arguments or the data. The message says what is allowed. Most mistakes are found
            before anything runs.
        KeyboardInterrupt: A signal arrived. Finished work is kept, and the same call resumes.

    Example:
        >>> import slimline
        >>> run = slimline.run("flowers", "ingest.origin=drawn", "ingest.drawn_per_class=14", "train.epochs=3")
        >>> sorted(run.metrics["per_class"])
        ['daisy', 'dandelion', 'roses', 'sunflowers', 'tulips']
    """
    _refuse_other_types(overrides)
    arguments = [*_experiment(experiment), *(expand_home(one, str(Path.home())) for one in overrides)]
    folders = _config_folders(config_dir)
    with _composing, _plain_refusals():
        settings = read_settings(STAGES.values())
        _refuse_flags(arguments)
        check_typed(arguments, read_vocabulary(folders, settings, {}))
        arguments = rewrite_arguments(arguments, settings)
        _refuse_sweeps(arguments)
        know_added_configs(folders)
        composed = compose_config(arguments, folders.places, STAGES.values())
        _check_that_it_runs(composed, folders)
    check_running_tensorflow()
    with _turn(), functions_as_graphs(), _plain_refusals():
        made = execute(composed.config, STAGES, composed.overrides, display_only=DISPLAY_ONLY)
    assert made is not None
    return Run(made.path)


def load(path: str | PathLike[str]) -> Run:
    """Open an existing run, made on the command line or by `slimline.run`, also by an earlier version of Slimline.

    Args:
        path: The run's directory, such as `"runs/flowers/v003"`, or `"runs/flowers/latest"` for the newest completed
            run.

    Returns:
        The run, with its metrics, facts, predictions and model.

    Raises:
        UserError: The directory is not a run; the message names runs nearby.

    Example:
        >>> import slimline
        >>> slimline.load("runs/flowers/latest").config.train.epochs
        3
    """
    return load_run(path)


def _experiment(name: str | None) -> list[str]:
    if name is None:
        return []
    if "=" in name:
        raise UserError(
            f"{name!r} is a setting, but the first argument must be the name of an experiment.",
            f'Write slimline.run("flowers", "{name}"), or slimline.run(None, "{name}", ...) without an experiment.',
        )
    if not NAME.fullmatch(name):
        raise UserError(
            f"{name!r} is not a valid name of an experiment.", 'Pass a name, such as slimline.run("flowers").'
        )
    return [f"+experiment={name}"]


def _config_folders(config_dir: str | PathLike[str] | None) -> ConfigFolders:
    if config_dir is not None and not Path(config_dir).expanduser().is_dir():
        raise UserError(
            f"config_dir={str(config_dir)!r} is not a folder (looked for {Path(config_dir).expanduser().absolute()}).",
            "Pass a folder with your own options, such as experiment/mine.yaml.",
        )
    return find_config_folders(config_dir, plugin_config_folders(), CONF)


def _refuse_other_types(overrides: Sequence[object]) -> None:
    for one in overrides:
        if not isinstance(one, str):
            raise UserError(
                f"{one!r} is not a setting: each is a text of its own.",
                'Write, for example: slimline.run("flowers", "head=mlp", "train.epochs=3")',
            )


def _refuse_flags(overrides: Sequence[str]) -> None:
    for override in overrides:
        if override.startswith("-"):
            raise UserError(
                f"{override} is a command-line option, which slimline.run does not accept.",
                "Pass choices and settings as key=value. For a sweep, call slimline.run once for each point.",
            )


def _refuse_sweeps(overrides: Sequence[str]) -> None:
    for override in overrides:
        if parse_override(override).is_sweep_override():
            raise UserError(
                f"{override} has several values, but slimline.run runs one config.",
                "Call it once for each value, or run the sweep on the command line: python -m pipeline -m ...",
            )


def _check_that_it_runs(composed: Composed, folders: ConfigFolders) -> None:
    if composed.config.run.plan:
        raise UserError(
            "run.plan=true runs nothing, so there is no run to return.", "Use run.plan=true on the command line only."
        )
    if not composed.config.run.targets:
        names = sorted(name for group, name, _ in folders.options() if group == EXPERIMENT)
        raise UserError(
            "No experiment is chosen, so there is nothing to run.",
            f'Pass a name, such as slimline.run("flowers"). The experiments are: {", ".join(names)}.',
        )


@contextmanager
def _plain_refusals() -> Iterator[None]:
    """Turn errors of Hydra and OmegaConf into a UserError in plain words."""
    try:
        yield
    except REFUSALS as error:
        raise explain(error, config_keys(STAGES.values())) from None


@contextmanager
def _turn() -> Iterator[None]:
    if not _one_at_a_time.acquire(blocking=False):
        log.info("waiting for another run in this process to finish")
        _one_at_a_time.acquire()
    try:
        yield
    finally:
        _one_at_a_time.release()
