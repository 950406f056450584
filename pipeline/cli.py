"""The command line: `python -m pipeline +experiment=flowers`.

The composition root: the one module of the framework that knows which stages there are.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra's refusals reach us, to be said in plainer words

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig

from slimline.pipeline.config import config_keys, register_schemas
from slimline.pipeline.errors import Stopped, Unavailable, UserError
from slimline.pipeline.plugins import Stages, plugin_config_folders
from slimline.pipeline.refusals import REFUSALS, expand_home, explain
from slimline.pipeline.runner import execute
from slimline.pipeline.stage import Stage
from slimline.pipeline.sweep import TOKEN, begin_sweep, sweep_points, sweep_rows, sweep_table
from slimline.pipeline.usage import usage
from slimline.stages.table import DISPLAY_ONLY
from slimline.stages.table import STAGES as OWN_STAGES

CONF = Path(__file__).parent.parent / "conf"
VERSION_BASE = "1.3"
STAGES: Mapping[str, Stage] = Stages(OWN_STAGES)

log = logging.getLogger(__name__)
mistakes: list[UserError] = []


@hydra.main(config_path=str(CONF), config_name="config", version_base=VERSION_BASE)
def compose_and_execute(config: DictConfig) -> None:
    """Run one composed config; a mistake in it is kept for the end, as Hydra would print over it."""
    try:
        _execute(config)
    except Unavailable as error:
        if HydraConfig.get().mode is RunMode.MULTIRUN and config.run.sweep.skip_unavailable:
            log.info("left out: %s", str(error).splitlines()[0])
        else:
            mistakes.append(error)
    except UserError as error:
        mistakes.append(error)


def _execute(config: DictConfig) -> None:
    """Run to the targets; as a point of a sweep only to the sweep's target."""
    if not config.run.targets:
        experiments = ", ".join(sorted(path.stem for path in (CONF / "experiment").glob("*.yaml")))
        raise UserError(
            "No experiment is chosen, so there is nothing to run.",
            f"Add +experiment=..., one of: {experiments}.",
        )
    job = HydraConfig.get()
    overrides = list(job.overrides.task)
    if job.mode is RunMode.MULTIRUN:
        log.info("\npoint %d: %s", job.job.num + 1, job.job.override_dirname.replace(",", " ") or "as it is")
        target = config.run.sweep.target
        execute(config, STAGES, overrides, targets=[target], display_only=DISPLAY_ONLY, sweep=os.environ[TOKEN])
    else:
        execute(config, STAGES, overrides, display_only=DISPLAY_ONLY)


def finish_sweep(token: str, overrides: list[str]) -> None:
    """Print the sweep's points, best first, and run the best one to its end."""
    from hydra import compose, initialize_config_dir

    with initialize_config_dir(config_dir=str(CONF), version_base=VERSION_BASE):
        plain = [argument for argument in overrides if not _is_swept(argument)]
        config = compose("config", overrides=plain)
        if config.run.plan:
            return
        sweep = config.run.sweep
        folder = Path(config.run.directory) / config.run.name
        points = sweep_points(folder, token, sweep.target, sweep.metric, sweep.maximize, sweep.columns)
        if not points:
            return
        log.info("\n%s\n", sweep_table(points, sweep.metric))
        best = points[0]
        if best.score is None:
            raise UserError("Every point of the sweep failed, so none goes on.", "Their manifests hold the errors.")
        log.info("the best point goes on: %s", " ".join(best.overrides))
        execute(
            compose("config", overrides=best.overrides),
            STAGES,
            best.overrides,
            display_only=DISPLAY_ONLY,
            winner_of=sweep_rows(points, sweep.metric),
        )


def _is_swept(argument: str) -> bool:
    """Say whether an argument is a flag, or gives its key several values."""
    if argument.startswith("-"):
        return True
    [override] = OverridesParser.create().parse_overrides([argument])
    return override.is_sweep_override()


def run_sweep(arguments: list[str]) -> None:
    """Run a sweep's points, then the best of them to its end; a point that fails doesn't stop the others.

    Raises:
        UserError: a folder of runs is swept, or every point failed.
    """
    for argument in arguments:
        if argument.startswith(("run.name=", "run.directory=")) and _is_swept(argument):
            raise UserError(f"{argument} can't be swept.", "The points of a sweep share one folder of runs.")
    token = begin_sweep()
    with tempfile.TemporaryDirectory() as folder:  # for what Hydra writes, which the manifests hold already
        sys.argv.append(f"hydra.sweep.dir={folder}")
        compose_and_execute()
    finish_sweep(token, arguments)


def main() -> None:
    """Run the command line; ends with 0, 2 for a mistake that the user can mend, or 128 + the signal that ended it."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    logging.getLogger("hydra").setLevel(logging.WARNING)
    arguments = [expand_home(argument, str(Path.home())) for argument in sys.argv[1:]]
    sys.argv[1:] = arguments
    if {"-h", "--help"} & set(arguments):
        print(usage(CONF), end="")
        return
    try:
        register_schemas(STAGES.values())
        if folders := plugin_config_folders():
            places = ",".join(f'"file://{folder}"' for folder in folders)
            arguments.insert(0, f"hydra.searchpath=[{places}]")
            sys.argv[1:] = arguments
        if {"-m", "--multirun"} & set(arguments):
            run_sweep(arguments)
        else:
            compose_and_execute()
    except UserError as error:
        mistakes.append(error)
    except REFUSALS as error:
        mistakes.append(explain(error, config_keys(STAGES.values())))
    except KeyboardInterrupt as error:
        _end_stopped(error)
    if mistakes:
        sys.stdout.flush()
        print("\n".join(str(mistake) for mistake in mistakes), file=sys.stderr)
        sys.exit(2)
    # Everything is on the disk by now; taking TensorFlow down in good order would cost most of a second.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _end_stopped(error: KeyboardInterrupt) -> None:
    """End as a command that a signal ended, saying what is kept."""
    said = str(error) or "Stopped by SIGINT. What is finished is kept: the same command goes on from there."
    number = error.signal if isinstance(error, Stopped) else signal.SIGINT
    sys.stdout.flush()
    print(said, file=sys.stderr, flush=True)
    # At once: a thread of TensorFlow's that is at work must not hold this up.
    os._exit(128 + number)
