"""Compose a config without running a Hydra application: from Python, and for a sweep's best point.

`hydra.initialize` and `hydra.compose` keep their state in process-wide objects, which an application that uses Hydra
needs for itself. This module builds the loader directly, and restores everything that it has to change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from threading import RLock
from typing import NamedTuple

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import SearchPathElement
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.utils import setup_globals
from hydra.types import RunMode
from hydra.version import VersionBase, setbase
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from slimline.pipeline.config import register_schemas
from slimline.pipeline.errors import UserError
from slimline.pipeline.stage import Stage

CONFIG_NAME = "config"
MAIN = "main"
HYDRAS_OWN = ("hydra", "_dummy_empty_config_.yaml")
VERSION_BASE = "1.3"

_lock = RLock()


class Composed(NamedTuple):
    """A config with all its interpolations resolved, and the overrides it was composed from, without Hydra's own."""

    config: DictConfig
    overrides: list[str]


def compose_config(overrides: Sequence[str], folders: Sequence[Path | str], stages: Iterable[Stage]) -> Composed:
    """Compose the config that the command line would run for `overrides`.

    A group's option is taken from the first of `folders` that has it; a folder inside a package is `pkg://package.conf`.
    Hydra's process-wide objects are restored afterwards, and several threads may call this function.

    Raises:
        UserError: a folder does not exist.
        HydraException: Hydra rejects an override; `refusals.explain` explains the error in plain words.
    """
    places = [_place(folder) for folder in folders]
    with _lock, _hydra_of_our_own(stages):
        search = create_config_search_path(places[0])
        elements = search.get_path()
        after = 1 + next(number for number, element in enumerate(elements) if element.provider == MAIN)
        elements[after:after] = [SearchPathElement(MAIN, place) for place in places[1:]]
        loader = ConfigLoaderImpl(search)
        config = loader.load_configuration(CONFIG_NAME, list(overrides), RunMode.RUN, from_shell=False)
        return Composed(resolve_task(config), list(config.hydra.overrides.task))


def _place(folder: Path | str) -> str:
    if isinstance(folder, str) and "://" in folder:
        return folder
    path = Path(folder).expanduser().absolute()
    if not path.is_dir():
        raise UserError(f"The config folder {folder} does not exist (looked for {path}).", "Check the folder's path.")
    return f"file://{path}"


def resolve_task(config: DictConfig) -> DictConfig:
    """Return the config without Hydra's part, its interpolations resolved; `${hydra:...}` refers to this config."""
    return resolved(separate_task(config))


def separate_task(config: DictConfig) -> DictConfig:
    """Return a copy of the config without Hydra's part, to which `${hydra:...}` refers from now on."""
    with open_dict(config.hydra):
        config.hydra.mode = RunMode.RUN
        config.hydra.runtime.output_dir = str(Path(config.hydra.run.dir).absolute())
    HydraConfig.instance().set_config(config)
    task = deepcopy(config)
    with read_write(task), open_dict(task):
        del task["hydra"]
    return task


def resolved(task: DictConfig) -> DictConfig:
    """Resolve the interpolations of a config in place, and return it."""
    if not OmegaConf.missing_keys(task):  # a later check reports a missing value more clearly than Hydra would here
        OmegaConf.resolve(task)
    return task


@contextmanager
def _hydra_of_our_own(stages: Iterable[Stage]) -> Iterator[None]:
    """Give Hydra the stages' schemas, our version base and no other config, inside the block only."""
    Plugins.instance()  # the first call imports Hydra's launchers, which register schemas that must be kept
    store, job, base = ConfigStore.instance(), HydraConfig.instance(), VersionBase.instance()
    before = store.repo, job.cfg, base.version_base
    if not OmegaConf.has_resolver("hydra"):
        setup_globals()  # `${now:...}` and `${hydra:...}`, which Hydra registers when an application starts
    try:
        # An application's own schemas are left out: Hydra applies a schema to any file of its name, such as `config`.
        store.repo = {name: node for name, node in store.repo.items() if name in HYDRAS_OWN}
        setbase(VERSION_BASE)
        register_schemas(stages)
        yield
    finally:
        store.repo, job.cfg, base.version_base = before
