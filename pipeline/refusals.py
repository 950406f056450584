"""What Hydra and OmegaConf refuse, said again for the person at the terminal."""

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
from slimline.pipeline.config_files import chosen, explain_yaml, searched, shown, used
from slimline.pipeline.config_folders import list_options
from slimline.pipeline.errors import UserError, nearest

REFUSALS = (HydraException, OmegaConfBaseException, ValueError, yaml.YAMLError)
"""Hydra also raises a bare ValueError, for a choice that is null."""

AMBIGUOUS = re.compile(r"Ambiguous value for argument '([^']+)'")
NULL_CHOICE = "Config group override must be a string or a list"

# Hydra gives the key of an override in its message alone: these exceptions carry no data.
NOT_THERE = re.compile(r"Could not override '([^']+)'")
THERE_ALREADY = re.compile(r"Could not append to config\. An item is already at '([^']+)'")
NOT_MERGED = re.compile(r"Error merging override '?([^'\s=]+)")
IN_FILE = re.compile(r"\s*In '?([^':]+)'?: ")

KINDS = {bool: "true or false", int: "a whole number", float: "a number"}


def expand_home(argument: str, home: str) -> str:
    """Expand `~/` at the start of a value or a list's item: no shell does it there, and Hydra's grammar refuses it."""
    return re.sub(r"(?<=[=\[,])~(?=/|$|[,\]])", lambda _: home, argument)


def explain(error: BaseException, keys: ConfigKeys) -> UserError:
    """Turn a refusal into plain lines: the value, what is allowed, what to do. `keys` are those that a config may hold.

    What a config file says, not the command line, is said with the file's name.
    """
    if isinstance(error, yaml.YAMLError):
        return explain_yaml(error)
    if (found := IN_FILE.match(str(error))) and found.group(1) in used:
        return _in_file(used[found.group(1)], error, keys)
    if not isinstance(error, (HydraException, OmegaConfBaseException)):
        if NULL_CHOICE not in str(error):
            raise error
        return UserError(
            "A choice of the config can't be null.",
            "Leave it away with a tilde, as in ~head, or name an option: head=linear.",
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
        return UserError(f"{key} is there already, so it takes no plus.", f"Write {key}=... without the plus.")
    return _wrong_value(error, refused)


def _in_file(file: Path, error: BaseException, keys: ConfigKeys) -> UserError:
    """Answer what a file of the user's or a plug-in's says, in its settings or its list of defaults."""
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
    return UserError(f"there is no group {group} to override.{near}", f"The groups are: {', '.join(groups)}.")


def _groups(keys: ConfigKeys) -> list[str]:
    """List the groups in the folders that were searched, else the parts that the keys are of."""
    return sorted({group for group, _, _ in list_options(searched)} or {key.partition(".")[0] for key in keys.names})


def _refused(error: BaseException | None) -> OmegaConfBaseException | None:
    """Find the error of OmegaConf's that says which key was refused, at or behind what Hydra raised."""
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
        advice = f"The groups are: {', '.join(groups)}." if near else "Look into conf/ for those that there are."
        return UserError(f"There is no config {missing!r}.{near}", advice)
    options = [name for name in options if not name.endswith(SCHEMA)]
    return UserError(
        f"{group}={option}: there is no such choice.",
        f"The choices are: {', '.join(options)}.{nearest(option, options)}",
    )


def _not_there(key: str, refused: OmegaConfBaseException | None, keys: ConfigKeys) -> UserError:
    """Answer an override of `key`, or of a key inside it where the value is a mapping: key={name: value}."""
    if refused is None or not f"{refused.full_key}".startswith(f"{key}."):
        return _unknown_key(key, keys)
    inside = f"{refused.full_key}"
    if refused.object_type is not dict:
        return _unknown_key(inside, keys)
    name = inside.removeprefix(f"{key}.")
    return UserError(
        f"{key} takes names that aren't there yet, such as {name}, with a plus.",
        f"Write '+{key}={{{name}: ...}}'.",
    )


def _unknown_key(key: str, keys: ConfigKeys) -> UserError:
    if key in keys.former:
        return UserError(f"{key} has a new name: {keys.former[key]}.", f"Write {keys.former[key]}=... instead.")
    parent = key.rpartition(".")[0]
    if key in keys.names or any(name.startswith(f"{key}.") for name in keys.names):
        return UserError(
            f"{key} doesn't belong to this experiment's choices.",
            "Choose the experiment (+experiment=...) or the option that has it.",
        )
    siblings = [name for name in keys.names if name.rpartition(".")[0] == parent]
    if not siblings:
        near = nearest(key, keys.names)
        return UserError(
            f"{key} is no key of this config.{near}",
            "`python -m pipeline +experiment=flowers --cfg job` shows all keys.",
        )
    names = ", ".join(name.rpartition(".")[2] for name in siblings)
    return UserError(f"{key} is no key of this config.{nearest(key, siblings)}", f"{parent} has: {names}.")


def _ungrammatical(argument: str) -> UserError:
    if "=" not in argument:
        return UserError(f"{argument} is no setting.", f"Write key=value; an experiment is +experiment={argument}.")
    key, _, value = argument.partition("=")
    items = [item.strip().strip("'\"") for item in value.strip("[]").split(",")]
    quoted = ",".join(f'"{item}"' for item in items)
    return UserError(
        f"{argument} can't be read: the value holds a character that Hydra's grammar keeps for itself.",
        f"Quote it for the shell and for Hydra: '{key}={f'[{quoted}]' if value.startswith('[') else quoted}'",
    )


def _wrong_value(error: BaseException, refused: OmegaConfBaseException | None) -> UserError:
    if ambiguous := AMBIGUOUS.search(str(error)):
        return UserError(
            f"{ambiguous.group(1)} gives several values, which is a sweep.",
            "Add -m to run each of them, or choose one.",
        )
    if refused is not None and isinstance(refused, ValidationError) and refused.value is not None:
        wanted = _declared_type(refused)
        if wanted in KINDS:
            return UserError(f"{refused.full_key}={refused.value} has the wrong type.", f"It must be {KINDS[wanted]}.")
        if isinstance(wanted, EnumMeta):
            allowed = [name.lower() if name.isupper() else name for name in wanted.__members__]
            return UserError(
                f"{refused.full_key}={refused.value} isn't allowed.",
                f"It must be one of: {', '.join(allowed)}.{nearest(str(refused.value), allowed)}",
            )
    merged = NOT_MERGED.match(str(error))
    saying = refused or (error.__cause__ if merged else None) or error
    said, _, _ = str(saying).partition("\n")
    key = refused.full_key if refused else merged.group(1) if merged else "The config"
    return UserError(f"{key}: {said}", "`--cfg job` shows the config as it stands.")


def _declared_type(refused: OmegaConfBaseException) -> Any:
    """Return the type that the refused key is declared to have: its field's, or that of the items around it."""
    if is_dataclass(refused.object_type):
        declared = typing.get_type_hints(refused.object_type).get(refused.key)
    else:
        declared = (None, *typing.get_args(refused.ref_type))[-1]
    if typing.get_origin(declared) in (typing.Union, UnionType):  # OmegaConf knows no other union than `X | None`
        [declared] = [kind for kind in typing.get_args(declared) if kind is not NoneType]
    return declared
