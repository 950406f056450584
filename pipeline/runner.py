"""The runner: from a composed config to a finished run."""

from __future__ import annotations

import logging
import os
import time
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from slimline.pipeline.artifact import HEADLINE, Artifact, Facts, empty_folder
from slimline.pipeline.code import Choices
from slimline.pipeline.config import RunConfig, check_names, typed_configs
from slimline.pipeline.errors import Stopped, UserError
from slimline.pipeline.keys import key_parts, make_key, settled_choices
from slimline.pipeline.memo import Memo
from slimline.pipeline.plan import make_plan, order_stages
from slimline.pipeline.run import Run
from slimline.pipeline.stage import RunRecord, Stage
from slimline.pipeline.store import Store

log = logging.getLogger(__name__)

MOST_CHARACTERS = 24


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
    """
    started = time.perf_counter()
    run_config, configs = typed_configs(config, stages)
    if targets:
        check_names("run.sweep.target", targets, configs)
    ordered = order_stages(stages, configs, targets or _targets(run_config))
    store = Store(_writable(Path(run_config.directory).absolute()) / "store", display_only)
    steps = make_plan(ordered, configs, store, run_config.force, run_config.plan)
    for step in steps:
        log.info(step.line())
    if run_config.plan:
        return None
    absent = {name for name in configs if stages[name].follows} - {stage.name for stage in ordered}
    resolved = _resolved_yaml(run_config, configs, absent)
    run = Run(store.root.parent / run_config.name, resolved, overrides, **about)
    log.info("-> %s", _shown(run.path))
    try:
        _run_stages(ordered, configs, store, run, run_config)
    except BaseException as error:
        run.finish(error=str(error) if isinstance(error, UserError | Stopped) else traceback.format_exc())
        raise
    run.finish()
    _summarise(run, time.perf_counter() - started)
    return run


def _writable(directory: Path) -> Path:
    """Return the folder of runs, which may not exist yet.

    Raises:
        UserError: it is a file, or it is not writable.
    """
    there = next(path for path in (directory, *directory.parents) if path.exists())
    if not there.is_dir():
        raise UserError(f"run.directory={directory}: {there} is not a folder.", "Name another folder for the runs.")
    if not os.access(there, os.W_OK):
        raise UserError(
            f"run.directory={directory}: {there} is not writable.",
            "Check its permissions, or name another folder for the runs.",
        )
    return directory


def _targets(run_config: RunConfig) -> list[str]:
    if not run_config.targets:
        raise UserError(
            "run.targets is empty: there is nothing to run.",
            "Name the stages to run, such as 'run.targets=[ingest]'.",
        )
    return run_config.targets


def _resolved_yaml(run_config: RunConfig, configs: Mapping[str, Any], absent: Iterable[str]) -> str:
    """Return the config as it ran, as YAML: every choice is resolved, and only the experiment's stages are included."""
    settled = {"run": run_config, **{name: value for name, value in configs.items() if name not in absent}}
    return OmegaConf.to_yaml(OmegaConf.create({name: OmegaConf.structured(value) for name, value in settled.items()}))


def _run_stages(
    ordered: list[Stage], configs: Mapping[str, Any], store: Store, run: Run, run_config: RunConfig
) -> None:
    made: dict[str, Artifact] = {}
    for stage in ordered:
        config = configs[stage.name]
        inputs = {name: made.get(name) if name in stage.needs(config) else None for name in stage.inputs}
        force = stage.name in run_config.force
        started = time.perf_counter()
        present = {name: artifact for name, artifact in inputs.items() if artifact}
        choices = settled_choices(stage, config, present)
        memo = _memo(stage, choices, store, force)
        given: dict[str, Any]
        given, notes = ({"memo": memo}, memo.notes) if memo else ({}, {})
        if stage.wants_record:
            given["run"] = RunRecord(run.path, run.manifest, dict(made))
        if not stage.cache:
            facts = {**stage(config, run.path, **inputs, **given), **notes}
            seconds = time.perf_counter() - started
            run.record(stage.name, cached=False, seconds=seconds, facts=facts)
            log.info(_line(stage.name, "ran", "", seconds, facts))
            continue
        artifact, cached = _obtain(stage, config, present, choices, {**inputs, **given}, store, force)
        facts = {**artifact.facts, **notes}
        made[stage.name] = replace(artifact, choices=choices)
        seconds = time.perf_counter() - started
        run.record(stage.name, cached=cached, seconds=seconds, facts=facts, artifact=artifact)
        log.info(_line(stage.name, "cached" if cached else "ran", artifact.key, seconds, facts))


def _memo(stage: Stage, choices: Choices, store: Store, force: bool) -> Memo | None:
    """Return the memo of a stage that takes one; with `force` the memo is emptied."""
    if not stage.wants_memo:
        return None
    relevant = {table: () if table in stage.memo_without else chosen for table, chosen in choices.items()}
    return store.memo(stage.name, store.code.read(stage, relevant), fresh=force)


def _obtain(
    stage: Stage,
    config: Any,
    present: Mapping[str, Artifact],
    choices: dict[str, list[str]],
    given: Mapping[str, Any],
    store: Store,
    force: bool,
) -> tuple[Artifact, bool]:
    code = store.code.read(stage, choices)
    parts = key_parts(stage, config, present, code, store.contents)
    key = make_key(parts)

    def make(out: Path) -> Facts:
        facts = stage(config, out, **given)
        if make_key(key_parts(stage, config, present, code, store.contents)) != key:
            empty_folder(out)
            raise UserError(
                f"The input files of {stage.name} changed while they were read.",
                "Nothing was kept. Run the same command again.",
            )
        return facts

    return store.obtain(stage, key, parts, make, force)


def _line(name: str, state: str, key: str, seconds: float, facts: Facts) -> str:
    shown = [
        f"{fact} {_number(value)}"
        for fact, value in facts.items()
        if isinstance(value, (int, float, str)) and fact != HEADLINE
    ]
    return f"{name:<10}{state:<6}  {key[:12]:<12}  {seconds:6.1f} s  {', '.join(shown)}".rstrip()


def _number(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return value if len(value) <= MOST_CHARACTERS else f"{value[:12]}…"
    return f"{value:,.4g}" if isinstance(value, float) else f"{value:,}"


def _summarise(run: Run, seconds: float) -> None:
    for name, entry in run.manifest["stages"].items():
        headline = entry["facts"].get(HEADLINE)
        if headline:
            linked = run.path / "artifacts" / name
            log.info(headline.replace("{path}", _shown(linked if linked.is_symlink() else run.path)))
    log.info("done in %.1f s: %s", seconds, _shown(run.path))


def _shown(path: Path) -> str:
    """Return a path as a user would type it: relative if it is below the current directory."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
