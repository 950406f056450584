"""The command line: `slimline +experiment=flowers`, or `python -m pipeline` from a checkout.

This module is the composition root: the only module of the framework that imports the stages.
"""

from __future__ import annotations

import logging
import os
import shlex
import signal
import sys
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra's errors are raised to this module, which explains them in plain words

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from slimline import __version__
from slimline.pipeline.arguments import parse_override, rewrite_arguments
from slimline.pipeline.commands import COMMANDS, RUN, program_name, split_command
from slimline.pipeline.composing import VERSION_BASE
from slimline.pipeline.config import register_schemas
from slimline.pipeline.config_files import EXPERIMENT, searched
from slimline.pipeline.config_folders import ConfigFolders, find_config_folders, list_options, search_first
from slimline.pipeline.errors import Stopped, Unavailable, UserError, exit_code
from slimline.pipeline.mistyped import check_typed, read_vocabulary
from slimline.pipeline.plugins import Stages, plugin_config_folders
from slimline.pipeline.refusals import REFUSALS, expand_home, explain
from slimline.pipeline.run import Run
from slimline.pipeline.runner import execute
from slimline.pipeline.settings import config_keys, read_settings
from slimline.pipeline.stage import Stage
from slimline.pipeline.streams import lost_output, open_standard_streams, tolerate_missing_readers
from slimline.pipeline.sweeping.ending import Context
from slimline.pipeline.sweeping.sweeper import NAME, in_sweep, run_point, use_sweeper
from slimline.pipeline.usage import usage
from slimline.pipeline.warm_up import with_imports
from slimline.stages.former_flags import FORMER_FLAGS
from slimline.stages.table import DISPLAY_ONLY, FINISH_SWEEP, IMPORTS, TOGETHER
from slimline.stages.table import STAGES as OWN_STAGES

CONF = Path(__file__).parent.parent / "conf"
STAGES: Mapping[str, Stage] = Stages(with_imports(OWN_STAGES, IMPORTS))

SWEEPER = f"hydra/sweeper={NAME}"

log = logging.getLogger(__name__)
mistakes: list[UserError] = []


@hydra.main(config_path=str(CONF), config_name="config", version_base=VERSION_BASE)
def compose_and_execute(config: DictConfig) -> None:
    """Run one composed config. A user error is printed at the end, because Hydra would print over it here."""
    try:
        _execute(config)
    except Unavailable as error:
        if HydraConfig.get().mode is RunMode.MULTIRUN and config.run.sweep.skip_unavailable:
            log.info("skipped: %s", str(error).splitlines()[0])
        else:
            mistakes.append(error)
    except UserError as error:
        mistakes.append(error)
    except OmegaConfBaseException as error:
        mistakes.append(explain(error, config_keys(STAGES.values())))


def _execute(config: DictConfig) -> None:
    """Run the stages up to the targets; for a point of a sweep, only up to the sweep's target."""
    if not config.run.targets:
        options = list_options(searched or [CONF])
        experiments = ", ".join(sorted(name for group, name, _ in options if group == EXPERIMENT))
        raise UserError(
            "No experiment is chosen, so there is nothing to run.",
            f"Add +experiment=NAME with one of these names: {experiments}.",
        )
    job = HydraConfig.get()
    if job.job.chdir:
        raise UserError(
            "hydra.job.chdir=true is not supported: paths are relative to the current directory.",
            "Remove it. To write the runs to another folder, set run.directory=PATH.",
        )
    if job.mode is RunMode.MULTIRUN and not in_sweep():
        raise UserError("hydra.mode=MULTIRUN does not start a sweep.", "Use -m instead.")
    overrides = list(job.overrides.task)
    if job.mode is RunMode.MULTIRUN:
        run_point(config, overrides, _sweep_context())
    else:
        _note(execute(config, STAGES, overrides, display_only=DISPLAY_ONLY))


def _note(run: Run | None) -> None:
    """Keep what a run could not do for the end of the command; the rest of the run was completed."""
    mistakes.extend(UserError(text) for text in (run.failures if run else ()))


def _sweep_context(typed: Sequence[str] = (), arguments: Sequence[str] = ()) -> Context:
    flags = _config_flags(typed)[0]  # a row's command needs the same options
    named = {"--config-dir": flags.config_dir, "--config-path": flags.config_path}
    own = [word for flag, folder in named.items() if folder for word in (flag, folder)]
    own += [one for one in typed if one.startswith("hydra.searchpath=")]
    program = " ".join([program_name(), *map(shlex.quote, own)])
    return Context(STAGES, DISPLAY_ONLY, TOGETHER, FINISH_SWEEP, typed, arguments, program, mistakes)


def run_sweep(arguments: Namespace, typed: Sequence[str]) -> None:
    """Run a sweep's points, then complete the best of them. A point that fails does not stop the others.

    Raises:
        UserError: the sweep cannot be run.
    """
    if other := [one for one in arguments.overrides if one.startswith("hydra/sweeper=") and one != SWEEPER]:
        raise UserError(f"{other[0]} is not supported.", "Leave it out: grids and searches are run by Slimline itself.")
    use_sweeper(_sweep_context(typed, arguments.overrides))
    _choose_one_experiment(arguments.overrides)
    with tempfile.TemporaryDirectory() as folder:  # for the files of Hydra's launchers
        sys.argv[1:1] = [SWEEPER, f"hydra.sweep.dir={folder}"]
        compose_and_execute()


def _choose_one_experiment(settings: Sequence[str]) -> None:
    """Give Hydra the first of several experiments: without one, it would not know the settings that they have."""
    for setting in settings:
        parsed = parse_override(setting)
        if parsed.key_or_group == EXPERIMENT and parsed.is_sweep_override():
            first = next(iter(parsed.sweep_string_iterator()))
            sys.argv[sys.argv.index(setting)] = f"+{EXPERIMENT}={first}"


def run(typed: list[str]) -> None:
    """Compose a config from the arguments and run it, once or as a sweep."""
    settings = read_settings(STAGES.values())
    check_typed(typed, read_vocabulary(_folders(_config_flags(typed)[0]), settings, FORMER_FLAGS))
    arguments = _parse(typed)
    flags = list(typed)
    for argument in arguments.overrides:
        flags.remove(argument)
    arguments.overrides = rewrite_arguments(arguments.overrides, settings, sweep=arguments.multirun)
    sys.argv[1:] = [*arguments.overrides, *flags]  # Hydra rejects the order: setting, flag, setting
    if arguments.cfg:
        _log_to(sys.stderr)  # the output may be redirected to a file, which must not contain log messages
    elif arguments.info:  # Hydra logs the requested information through a handler of its own
        logging.basicConfig(handlers=[], force=True)
        logging.getLogger("hydra").setLevel(logging.NOTSET)
    search_first(_folders(arguments))
    register_schemas(STAGES.values())
    if arguments.multirun:
        run_sweep(arguments, typed)
    else:
        compose_and_execute()


def _config_flags(typed: Sequence[str]) -> tuple[Namespace, list[str]]:
    """Return the flags that name folders of configs, and all other arguments."""
    own = ArgumentParser(add_help=False, allow_abbrev=False)
    own.add_argument("--config-dir", "-cd")
    own.add_argument("--config-path", "-cp")
    return own.parse_known_args(list(typed))


def _parse(typed: Sequence[str]) -> Namespace:
    """Separate flags and their values from settings, as Hydra does."""
    return get_args_parser().parse_intermixed_args(typed)


def _folders(arguments: Namespace) -> ConfigFolders:
    main = Path(arguments.config_path or CONF)
    if not main.is_dir():
        raise UserError(
            f"--config-path {main} is not a folder (looked for {main.absolute()}).",
            "Name the folder of a root config; for options of your own, use --config-dir DIR.",
        )
    return find_config_folders(arguments.config_dir, plugin_config_folders(), main)


def _log_to(stream: TextIO) -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=stream, force=True)
    logging.getLogger("hydra").setLevel(logging.WARNING)


def main() -> None:
    """Run the command line. The exit code is 0, 2 for a mistake that the user can fix, or 128 + the signal's number."""
    typed = [expand_home(argument, str(Path.home())) for argument in sys.argv[1:]]
    open_standard_streams()
    tolerate_missing_readers()
    _log_to(sys.stdout)
    try:
        _do(typed)
    except UserError as error:
        mistakes.append(error)
    except REFUSALS as error:
        mistakes.append(explain(error, config_keys(STAGES.values())))
    except KeyboardInterrupt as error:
        _end_stopped(error)
    if mistakes:
        sys.stdout.flush()
        print("\n".join(str(mistake) for mistake in mistakes), file=sys.stderr)
        sys.exit(exit_code(mistakes))
    # Everything is on disk. A regular shutdown of TensorFlow would take most of a second.
    sys.stdout.flush()
    sys.stderr.flush()
    if reason := lost_output():
        print(f"The output could not be written: {reason}.", file=sys.stderr, flush=True)
    os._exit(2 if reason else 0)


def _do(typed: list[str]) -> None:
    """Carry out a command line: show the version, show the help, or run a command."""
    if "--version" in typed:
        print(f"Slimline {__version__}")
        return
    if {"-h", "--help"} & set(typed):
        commands = {name: (command.written, command.purpose) for name, command in COMMANDS.items()}
        print(usage(_folders(_config_flags(typed)[0]), commands, program_name()), end="")
        return
    name, rest = split_command(typed)
    function = COMMANDS[name].function
    if name == RUN or function is None:
        run(rest)
        return
    arguments, others = _config_flags(rest)
    function(others, _folders(arguments), program_name())


def _end_stopped(error: KeyboardInterrupt) -> None:
    """End the process after a signal, and print what is kept."""
    said = str(error) or "Stopped by SIGINT. Finished work is kept. Run the same command again to resume."
    number = error.signal if isinstance(error, Stopped) else signal.SIGINT
    sys.stdout.flush()
    print(said, file=sys.stderr, flush=True)
    # Exit at once: a TensorFlow thread that is still working must not delay it.
    os._exit(128 + number)
