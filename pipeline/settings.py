"""Settings: the type and the default of every key that a config may hold, read from the stages' schemas."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, is_dataclass
from typing import Any, NamedTuple

from slimline.pipeline.config import RunConfig
from slimline.pipeline.stage import Stage, former_names


@dataclass(frozen=True)
class Setting:
    """What a setting takes: `kind` is its type without `| None`, `item` the type of a list's or a mapping's items."""

    kind: Any
    item: Any
    nullable: bool
    default: Any
    former: tuple[str, ...] = ()

    @property
    def is_text(self) -> bool:
        """Whether it takes one text, such as a path or a name."""
        return self.kind is str

    @property
    def is_flat_list(self) -> bool:
        """Whether it takes a list of plain values: texts, numbers or names of choices."""
        return self.kind is list and not is_dataclass(self.item)

    @property
    def is_open(self) -> bool:
        """Whether it takes names that no schema lists, each with a value."""
        return self.kind is dict


def read_settings(stages: Iterable[Stage]) -> dict[str, Setting]:
    """Return every setting by its dotted key; an option's own schema is read after its group's."""
    settings = dict(_settings(RunConfig, "run"))
    for stage in stages:
        settings.update(_settings(stage.config_type, stage.name))
        for option, schema in stage.schemas.items():
            subgroup = option.rpartition("/")[0].replace("/", ".")
            settings.update(_settings(schema, f"{stage.name}.{subgroup}".rstrip(".")))
    return settings


class ConfigKeys(NamedTuple):
    """The keys that a config may contain, in dotted form, and the present name of each renamed key."""

    names: list[str]
    former: dict[str, str]


def config_keys(stages: Iterable[Stage]) -> ConfigKeys:
    """List every key that a config may contain, settings and their groups, to explain a misspelled or former one."""
    settings = read_settings(stages)
    parents = {parent for key in settings for parent in _parents(key)}
    return ConfigKeys(sorted({*settings, *parents}), former_keys(settings))


def _parents(key: str) -> Iterator[str]:
    while "." in (key := key.rpartition(".")[0]):
        yield key


def former_keys(settings: Mapping[str, Setting]) -> dict[str, str]:
    """Return the present key of each setting that had another name in an earlier version, by its former key."""
    return {f"{key.rpartition('.')[0]}.{old}": key for key, setting in settings.items() for old in setting.former}


def _settings(schema: type, prefix: str) -> Iterator[tuple[str, Setting]]:
    hints = typing.get_type_hints(schema)
    for item in dataclasses.fields(schema):
        key = f"{prefix}.{item.name}"
        default = item.default_factory() if item.default_factory is not dataclasses.MISSING else item.default
        if is_dataclass(default):
            yield from _settings(type(default), key)
        else:
            yield key, _setting(hints[item.name], default, former_names(item))


def _setting(hint: Any, default: Any, former: tuple[str, ...]) -> Setting:
    nullable = False
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        members = [member for member in typing.get_args(hint) if member is not types.NoneType]
        nullable, hint = True, members[0]
    arguments = typing.get_args(hint)
    return Setting(typing.get_origin(hint) or hint, arguments[-1] if arguments else None, nullable, default, former)
