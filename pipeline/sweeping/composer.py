"""Configs of a sweep's points: groups are composed once for each choice, plain values are set on a copy."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any, cast

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from slimline.pipeline.composing import resolved, separate_task


class PointComposer:
    """Composes points with the application's own loader, so that they see the same folders of configs.

    Composing one point takes Hydra about 0.1 s, most of it for reading groups. Points that differ only in values of
    settings share it.
    """

    def __init__(self, loader: ConfigLoader, master: DictConfig) -> None:
        """`master` is the config of the sweep itself, with Hydra's own part."""
        assert isinstance(loader, ConfigLoaderImpl)
        self._loader, self._master = loader, master
        self._parser = OverridesParser.create(loader)
        self._composed: dict[tuple[str, ...], tuple[DictConfig, DictConfig]] = {}

    def compose(self, overrides: Sequence[str], varied: Sequence[str]) -> DictConfig:
        """Return a point's config, resolved and without Hydra's part; `varied` are the overrides that points differ in.

        Raises:
            HydraException: Hydra rejects an override.
        """
        chosen = set(varied)
        values = [one for one in self._parser.parse_overrides(list(varied)) if self._is_plain_value(one)]
        written = {str(one.input_line) for one in values}
        shared = tuple(one for one in overrides if one not in chosen or one not in written)
        if shared not in self._composed:
            found = self._loader.load_sweep_config(self._master, list(shared))
            self._composed[shared] = separate_task(found), found
        task, whole = self._composed[shared]
        HydraConfig.instance().cfg = cast(Any, whole)  # `${hydra:...}` refers to it
        config = deepcopy(task)
        ConfigLoaderImpl._apply_overrides_to_config(values, config)
        return resolved(config)

    def _is_plain_value(self, one: Override) -> bool:
        """Whether an override sets a value; others choose a group's option, add or delete something."""
        simple = not one.is_add() and not one.is_delete() and one.package is None
        return simple and not self._loader.repository.group_exists(one.key_or_group)
