"""The runner: from a composed config to a finished run."""

from __future__ import annotations

import logging
import os
import tempfile
import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from slimline.pipeline.artifact import Artifact
from slimline.pipeline.config import RunConfig, check_names, typed_configs
from slimline.pipeline.config_files import shown
from slimline.pipeline.errors import GateFailed, Stopped, UserError
from slimline.pipeline.obtaining import given_memo, notes_of, obtain
from slimline.pipeline.plan import WIDTH, make_plan
from slimline.pipeline.run import Run
from slimline.pipeline.run_lines import files_made, headlines, stage_line
from slimline.pipeline.stage import RunRecord, Stage
from slimline.pipeline.store import Store
from slimline.pipeline.tasks import Task, order_tasks
from slimline.pipeline.warm_up import WarmUp

log = logging.getLogger(__name__)


def execute(
    config: DictConfig,
    stages: Mapping[str, Stage],
    overrides: list[str],
    targets: list[str] | None = None,
    display_only: Iterable[str] = (),
    **about: Any,
) -> Run | None:
    """Run the stages that the config's targets need, in order, in a new run directory.

    `targets` replaces the config's own; `display_only` names the modules that only display results and count in no
    key; `about` goes into the manifest. With `run.plan` it prints what would run and why, and returns None.

    Raises:
        UserError: the config cannot be run; nothing has run in this case.
        GateFailed: a stage's result is below what the config asks for; the run is kept, without what depends on it.
    """
    started = time.perf_counter()
    run_config, configs = typed_configs(config, stages)
    if targets:
        check_names("run.sweep.target", targets, configs)
    chosen = list(configs)
    tasks = order_tasks(stages, configs, targets or _targets(run_config))
    width = max(WIDTH, 1 + max(len(task.name) for task in tasks))
    directory = writable_directory(run_config)
    store = Store(directory / "store", display_only)
    steps = make_plan(tasks, configs, store, run_config.force, run_config.plan)
    for step in steps:
        log.info(step.line(width))
    if run_config.plan:
        return None
    will_run = {step.stage for step in steps if step.reason}
    warm_up = WarmUp(task.stage for task in tasks if task.name in will_run)
    absent = {name for name in chosen if stages[name].follows} - {task.name for task in tasks}
    resolved = _resolved_yaml(run_config, {name: configs[name] for name in chosen if name not in absent})
    run = Run(store.root.parent / run_config.name, resolved, overrides, **about)
    log.info("-> %s", shown(run.path))
    try:
        waiting = [replace(task, stage=warm_up.awaited(task.stage)) for task in tasks]
        short = _run_tasks(waiting, configs, store, run, run_config, width)
    except BaseException as error:
        run.finish(error=str(error) if isinstance(error, UserError | Stopped) else traceback.format_exc())
        raise
    finally:
        warm_up.end()
    run.finish(error=str(short) if short else None)
    _summarize(run, targets or run_config.targets, time.perf_counter() - started)
    if short:
        raise short
    return run


def writable_directory(run_config: RunConfig) -> Path:
    """Return the folder of runs, which may not exist yet.

    Raises:
        UserError: it, or this experiment's folder in it, is a file, or it is not writable.
    """
    directory = Path(run_config.directory).absolute()
    try:
        there = next(path for path in (directory, *directory.parents) if path.exists())
    except OSError as error:
        raise _not_made(directory, error) from error
    if not there.is_dir():
        raise UserError(f"run.directory={directory}: {there} is not a folder.", "Name another folder for the runs.")
    if (own := directory / run_config.name).exists() and not own.is_dir():
        raise UserError(f"run.name={run_config.name}: {own} is not a folder.", "Give the runs another name.")
    if not os.access(there, os.W_OK):
        raise UserError(
            f"run.directory={directory}: {there} is not writable.",
            "Check its permissions, or name another folder for the runs.",
        )
    if there != directory:
        _try_a_folder(there, directory)
    return directory


def _try_a_folder(there: Path, directory: Path) -> None:
    """Make a folder and remove it: some file systems, such as /proc, take none although they say they are writable."""
    try:
        tempfile.TemporaryDirectory(dir=there).cleanup()
    except OSError as error:
        raise _not_made(directory, error) from error


def _not_made(directory: Path, error: OSError) -> UserError:
    return UserError(
        f"run.directory={directory}: the folder cannot be made ({error.strerror}).", "Name another folder for the runs."
    )


def _targets(run_config: RunConfig) -> list[str]:
    if not run_config.targets:
        raise UserError(
            "run.targets is empty: there is nothing to run.",
            "Name the stages to run, such as 'run.targets=[ingest]'.",
        )
    return run_config.targets


def _resolved_yaml(run_config: RunConfig, configs: Mapping[str, Any]) -> str:
    """Return the config as it ran, as YAML: every choice is resolved, and only the experiment's stages are included."""
    settled = {"run": run_config, **configs}
    return OmegaConf.to_yaml(OmegaConf.create({name: OmegaConf.structured(value) for name, value in settled.items()}))


def _run_tasks(
    tasks: list[Task], configs: Mapping[str, Any], store: Store, run: Run, run_config: RunConfig, width: int
) -> GateFailed | None:
    """Run the tasks in order; after a gate that is closed, only those that do not build on the gated stage.

    A stage that is never cached, such as the report, still runs: it gets what there is.
    """
    made: dict[str, Artifact] = {}
    short: GateFailed | None = None
    gated: set[str] = set()
    absent: set[str] = set()
    for task in tasks:
        stage, config = task.stage, configs[task.name]
        sources = {one for ones in task.sources(config).values() for one in ones}
        if (absent | gated) & sources if stage.cache else absent & stage.required:
            absent.add(task.name)
            continue
        inputs = task.inputs(config, made)
        force = stage.name in run_config.force
        started = time.perf_counter()
        if not stage.cache:
            given = given_memo(stage, config, inputs, store, force)
            if stage.wants_record:
                given["run"] = RunRecord(run.path, run.manifest, dict(made))
            facts = {**stage(config, run.path, **inputs, **given), **notes_of(given)}
            seconds = time.perf_counter() - started
            run.record(stage.name, cached=False, seconds=seconds, facts=facts)
            log.info(stage_line(task.name, "ran", "", seconds, facts, stage.shown, width))
            continue
        artifact, facts, cached = obtain(stage, config, inputs, store, force)
        made[task.name] = artifact
        seconds = time.perf_counter() - started
        about: dict[str, Any] = {"part": task.part, "sums_up": bool(task.parts)}
        run.record(stage.name, cached=cached, seconds=seconds, facts=facts, artifact=artifact, **about)
        state = "cached" if cached else "ran"
        log.info(stage_line(task.name, state, artifact.key, seconds, facts, stage.shown, width))
        if stage.gate and (closed := _closed(stage, config, artifact)):
            short = closed
            run.record_gate(task.name, str(closed))
            gated.add(task.name)
    return short


def _closed(stage: Stage, config: Any, artifact: Artifact) -> GateFailed | None:
    assert stage.gate
    try:
        stage.gate(config, artifact)
    except GateFailed as error:
        return error
    return None


def _summarize(run: Run, targets: Sequence[str], seconds: float) -> None:
    for line in headlines(run):
        log.info(line)
    log.info("done in %.1f s: %s", seconds, shown(run.path))
    for line in files_made(run, targets):
        log.info(line)
