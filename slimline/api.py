"""Slimline from Python: run an experiment, and load what a run made.

The composition root for callers in Python, as slimline.pipeline.cli is for the command line.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from threading import RLock

from hydra.core.override_parser.overrides_parser import OverridesParser

from slimline.pipeline.arguments import rewrite_arguments
from slimline.pipeline.composing import Composed, compose_config
from slimline.pipeline.config import config_keys
from slimline.pipeline.config_files import EXPERIMENT
from slimline.pipeline.config_folders import ConfigFolders, find_config_folders, know_added_configs
from slimline.pipeline.errors import UserError
from slimline.pipeline.mistyped import check_typed, read_vocabulary
from slimline.pipeline.plugins import Stages, plugin_config_folders
from slimline.pipeline.refusals import REFUSALS, expand_home, explain
from slimline.pipeline.runner import execute
from slimline.pipeline.settings import read_settings
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
"""Which files of the added config folders are in use is noted in one place for the process."""

_one_at_a_time = RLock()
"""Training sets TensorFlow's global seed and graph options, so that two runs in one process take turns."""


def run(experiment: str | None = None, *overrides: str, config_dir: str | PathLike[str] | None = None) -> Run:
    """Run an experiment as `python -m pipeline +experiment=...` does, into a new directory below `runs/`.

    What an earlier run made is used again. Lines about each stage go to the logger `slimline` at level INFO. It may be
    called from any thread, and in an application that uses Hydra or TensorFlow itself; a second call waits for the
    first.

    Args:
        experiment: An experiment's name, such as `"flowers"`; None if the overrides choose everything.
        *overrides: Choices and settings as on the command line, such as `"head=mlp"` and `"train.epochs=3"`.
        config_dir: A folder of configs of your own, searched before the shipped ones. Without it, `./conf` is, where
            it holds a group of Slimline's. Each shipped file that one of yours replaces is named in a line.

    Returns:
        The run, with its metrics, facts, predictions and model.

    Raises:
        UserError: A mistake in what is asked for; the message says what is allowed. Nothing has run then, as a rule.
        KeyboardInterrupt: A signal came. What is finished is kept, and the same call resumes.

    Example:
        >>> import slimline
        >>> run = slimline.run("flowers", "ingest.origin=drawn", "ingest.drawn_per_class=14", "train.epochs=3")
        >>> sorted(run.metrics["per_class"])
        ['daisy', 'dandelion', 'roses', 'sunflowers', 'tulips']
    """
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
    """Open a run that was made before, by the command line or by `slimline.run`, also one of an earlier version.

    Args:
        path: Its directory, such as `"runs/flowers/v003"`, or `"runs/flowers/latest"` for the newest that completed.

    Returns:
        The run, with its metrics, facts, predictions and model.

    Raises:
        UserError: No run is there; the message names those nearby.

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
            f"{name!r} is a setting, and the first argument is an experiment's name.",
            f'Write slimline.run("flowers", "{name}"), or slimline.run(None, "{name}", ...) without an experiment.',
        )
    if not NAME.fullmatch(name):
        raise UserError(f"{name!r} can't name an experiment.", 'Give the name of one, as in slimline.run("flowers").')
    return [f"+experiment={name}"]


def _config_folders(config_dir: str | PathLike[str] | None) -> ConfigFolders:
    if config_dir is not None and not Path(config_dir).expanduser().is_dir():
        raise UserError(
            f"config_dir={str(config_dir)!r} is not a folder (looked for {Path(config_dir).expanduser().absolute()}).",
            "Give a folder that holds options of your own, such as experiment/mine.yaml.",
        )
    return find_config_folders(config_dir, plugin_config_folders(), CONF)


def _refuse_flags(overrides: Sequence[str]) -> None:
    for override in overrides:
        if override.startswith("-"):
            raise UserError(
                f"{override} is an option of the command line, and slimline.run takes none.",
                "Give choices and settings: key=value. For a sweep, call slimline.run for each point.",
            )


def _refuse_sweeps(overrides: Sequence[str]) -> None:
    for override in overrides:
        [parsed] = OverridesParser.create().parse_overrides([override])
        if parsed.is_sweep_override():
            raise UserError(
                f"{override} gives several values, and slimline.run runs one config.",
                "Call it once for each value; or sweep on the command line: python -m pipeline -m ...",
            )


def _check_that_it_runs(composed: Composed, folders: ConfigFolders) -> None:
    if composed.config.run.plan:
        raise UserError("run.plan=true runs nothing, so there is no run to return.", "Plan on the command line.")
    if not composed.config.run.targets:
        names = sorted(name for group, name, _ in folders.options() if group == EXPERIMENT)
        raise UserError(
            "No experiment is chosen, so there is nothing to run.",
            f'Name one, as in slimline.run("flowers"): {", ".join(names)}.',
        )


@contextmanager
def _plain_refusals() -> Iterator[None]:
    """Raise what Hydra and OmegaConf refuse as a UserError, in plain words."""
    try:
        yield
    except REFUSALS as error:
        raise explain(error, config_keys(STAGES.values())) from None


@contextmanager
def _turn() -> Iterator[None]:
    if not _one_at_a_time.acquire(blocking=False):
        log.info("waiting for another run in this process to end")
        _one_at_a_time.acquire()
    try:
        yield
    finally:
        _one_at_a_time.release()
