"""Errors of Hydra and OmegaConf, explained in plain words for the user at the terminal."""

from __future__ import annotations

import re
import typing
from collections.abc import Sequence
from dataclasses import is_dataclass
from enum import EnumMeta
from pathlib import Path
from types import NoneType, UnionType
from typing import Any

import yaml
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException, ValidationError

from slimline.pipeline.config import SCHEMA, ConfigKeys
from slimline.pipeline.config_files import EXPERIMENT, chosen, explain_yaml, searched, shown, used
from slimline.pipeline.config_folders import list_options
from slimline.pipeline.errors import UserError, nearest

REFUSALS = (HydraException, OmegaConfBaseException, ValueError, yaml.YAMLError)
"""The errors to explain. Hydra raises a bare ValueError for a choice that is null."""

AMBIGUOUS = re.compile(r"Ambiguous value for argument '([^']+)'")
NULL_CHOICE = "Config group override must be a string or a list"

# Hydra names the key of an override only in the message: these exceptions have no other data.
NOT_THERE = re.compile(r"Could not override '([^']+)'")
THERE_ALREADY = re.compile(r"Could not append to config\. An item is already at '([^']+)'")
NOT_MERGED = re.compile(r"Error merging override '?([^'\s=]+)")
IN_FILE = re.compile(r"\s*In '?([^':]+)'?: ")

KINDS = {bool: "true or false", int: "a whole number", float: "a number"}


def expand_home(argument: str, home: str) -> str:
    """Expand `~/` at the start of a value or a list item: shells do not do it there, and Hydra's grammar rejects it."""
    return re.sub(r"(?<=[=\[,])~(?=/|$|[,\]])", lambda _: home, argument)


def explain(error: BaseException, keys: ConfigKeys) -> UserError:
    """Turn an error into plain lines: the value, what is allowed, what to do. `keys` are all config keys.

    The message names the file if the mistake is in a config file and not on the command line.
    """
    if isinstance(error, yaml.YAMLError):
        return explain_yaml(error)
    if (found := IN_FILE.match(str(error))) and found.group(1) in used:
        return _in_file(used[found.group(1)], error, keys)
    if not isinstance(error, (HydraException, OmegaConfBaseException)):
        if NULL_CHOICE not in str(error):
            raise error
        return UserError(
            "The choice of a config group cannot be null.",
            "Remove the group with a tilde, such as '~head', or choose an option, such as head=linear.",
        )
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, option = error.missing_cfg_file.rpartition("/")
        answer = _unknown_option(error.missing_cfg_file, error.options or (), keys)
        named_in = chosen.get((group, option))
        return UserError(f"{shown(named_in)}: {answer}") if named_in else answer
    if isinstance(error, OverrideParseException):
        return _ungrammatical(error.override)
    refused = _refused(error)
    if found := NOT_THERE.search(str(error)):
        return _not_there(found.group(1), refused, keys)
    if found := THERE_ALREADY.search(str(error)):
        key = found.group(1)
        return UserError(
            f"{key} already exists, so it cannot be added with a plus.", f"Write {key}=... without the plus."
        )
    return _wrong_value(error, refused)


def _in_file(file: Path, error: BaseException, keys: ConfigKeys) -> UserError:
    """Explain a mistake in a file of the user or of a plug-in: in its settings or its list of defaults."""
    refused = _refused(error)
    if isinstance(refused, ConfigKeyError):
        answer = _unknown_key(f"{refused.full_key}", keys)
    elif found := NOT_THERE.search(str(error)):
        answer = _unknown_group(found.group(1), keys)
    elif isinstance(error, MissingConfigException) and error.missing_cfg_file:
        answer = _unknown_option(error.missing_cfg_file, error.options or (), keys)
    elif refused is not None:
        answer = _wrong_value(error, refused)
    else:
        said = IN_FILE.sub("", str(error), count=1)
        answer = UserError(said.partition("\n")[0], "Correct the file's list of defaults.")
    return UserError(f"{shown(file)}: {answer}")


def _unknown_group(group: str, keys: ConfigKeys) -> UserError:
    groups = _groups(keys)
    near = nearest(group, groups)
    return UserError(f"{group} is not a config group.{near}", f"The groups are: {', '.join(groups)}.")


def _groups(keys: ConfigKeys) -> list[str]:
    """List the groups in the folders that were searched, or else the first parts of the keys."""
    return sorted({group for group, _, _ in list_options(searched)} or {key.partition(".")[0] for key in keys.names})


def _refused(error: BaseException | None) -> OmegaConfBaseException | None:
    """Find the OmegaConf error that names the refused key: the given error or one of its causes."""
    while error is not None:
        if isinstance(error, OmegaConfBaseException) and error.full_key:
            return error
        error = error.__cause__ or error.__context__
    return None


def _unknown_option(missing: str, options: Sequence[str], keys: ConfigKeys) -> UserError:
    group, _, option = missing.rpartition("/")
    if not options:
        groups = _groups(keys)
        near = nearest(group, groups)
        advice = f"The groups are: {', '.join(groups)}." if near else "Add --help to list all groups and their options."
        return UserError(f"The config {missing!r} does not exist.{near}", advice)
    options = [name for name in options if not name.endswith(SCHEMA)]
    return UserError(
        f"{group}={option} is not a valid choice.",
        f"The choices are: {', '.join(options)}.{nearest(option, options)}",
    )


def _not_there(key: str, refused: OmegaConfBaseException | None, keys: ConfigKeys) -> UserError:
    """Explain an unknown `key`, or an unknown key inside it if the value is a mapping: key={name: value}."""
    if refused is None or not f"{refused.full_key}".startswith(f"{key}."):
        return _unknown_key(key, keys)
    inside = f"{refused.full_key}"
    if refused.object_type is not dict:
        return _unknown_key(inside, keys)
    name = inside.removeprefix(f"{key}.")
    return UserError(
        f"{key} does not contain {name} yet, and a new name must be added with a plus.",
        f"Write '+{key}={{{name}: ...}}'.",
    )


def _unknown_key(key: str, keys: ConfigKeys) -> UserError:
    if key == EXPERIMENT:
        return UserError("experiment=... needs a plus in front.", "Write, for example: +experiment=flowers")
    if key in keys.former:
        return UserError(f"{key} was renamed to {keys.former[key]}.", f"Write {keys.former[key]}=... instead.")
    parent = key.rpartition(".")[0]
    if key in keys.names or any(name.startswith(f"{key}.") for name in keys.names):
        return UserError(
            f"{key} is not a setting of the chosen experiment and options.",
            "Choose the experiment (+experiment=...) or the option that has this setting.",
        )
    siblings = [name for name in keys.names if name.rpartition(".")[0] == parent]
    if not siblings:
        near = nearest(key, keys.names)
        return UserError(
            f"{key} is not a setting of this config.{near}",
            "To list all settings, run: python -m pipeline +experiment=flowers --cfg job",
        )
    names = ", ".join(name.rpartition(".")[2] for name in siblings)
    return UserError(f"{key} is not a setting of this config.{nearest(key, siblings)}", f"{parent} has: {names}.")


def _ungrammatical(argument: str) -> UserError:
    if "=" not in argument:
        return UserError(
            f"{argument} is not a setting.",
            f"Write a setting as key=value. To run an experiment, write +experiment={argument}.",
        )
    key, _, value = argument.partition("=")
    items = [item.strip().strip("'\"") for item in value.strip("[]").split(",")]
    quoted = ",".join(f'"{item}"' for item in items)
    return UserError(
        f"{argument} cannot be read: the value contains a special character of Hydra's grammar.",
        f"Quote it for the shell and for Hydra: '{key}={f'[{quoted}]' if value.startswith('[') else quoted}'",
    )


def _wrong_value(error: BaseException, refused: OmegaConfBaseException | None) -> UserError:
    if ambiguous := AMBIGUOUS.search(str(error)):
        return UserError(
            f"{ambiguous.group(1)} has several values, which only a sweep can use.",
            "Add -m to run a sweep over the values, or choose one of them.",
        )
    if refused is not None and isinstance(refused, ValidationError) and refused.value is not None:
        wanted = _declared_type(refused)
        if wanted in KINDS:
            return UserError(f"{refused.full_key}={refused.value} has the wrong type.", f"It must be {KINDS[wanted]}.")
        if isinstance(wanted, EnumMeta):
            allowed = [name.lower() if name.isupper() else name for name in wanted.__members__]
            return UserError(
                f"{refused.full_key}={refused.value} is not allowed.",
                f"It must be one of: {', '.join(allowed)}.{nearest(str(refused.value), allowed)}",
            )
    merged = NOT_MERGED.match(str(error))
    saying = refused or (error.__cause__ if merged else None) or error
    said, _, _ = str(saying).partition("\n")
    key = refused.full_key if refused else merged.group(1) if merged else "The config"
    return UserError(f"{key}: {said}", "Add --cfg job to the command to show the composed config.")


def _declared_type(refused: OmegaConfBaseException) -> Any:
    """Return the declared type of the refused key: that of its field, or the item type of its container."""
    if is_dataclass(refused.object_type):
        declared = typing.get_type_hints(refused.object_type).get(refused.key)
    else:
        declared = (None, *typing.get_args(refused.ref_type))[-1]
    if typing.get_origin(declared) in (typing.Union, UnionType):  # OmegaConf supports no unions but `X | None`
        [declared] = [kind for kind in typing.get_args(declared) if kind is not NoneType]
    return declared
