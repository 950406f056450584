"""Values of the wrong type or shape: what Hydra and OmegaConf say of them, in plain words."""

from __future__ import annotations

import re
import typing
from dataclasses import fields, is_dataclass
from enum import EnumMeta
from types import NoneType, UnionType
from typing import Any

from omegaconf.errors import ConfigTypeError, OmegaConfBaseException, ValidationError

from slimline.pipeline.config_files import searched
from slimline.pipeline.config_folders import list_options
from slimline.pipeline.errors import UserError, nearest

AMBIGUOUS = re.compile(r"Ambiguous value for argument '([^']+)'")
NOT_MERGED = re.compile(r"Error merging override '?([^'\s=]+)")
NOT_SETTINGS = re.compile(r"Merge error: \w+ is not a subclass of (\w+)Config\. value: ([^\n]*)")
NOT_REMOVED = re.compile(
    r"Could not delete from config\. (?:'([^']+)' does not exist|The value of '([^']+)' is (.*) and not)"
)
TWICE = re.compile(r"(\S+) appears more than once in the final defaults list")
NOT_A_LIST = re.compile(r"is not a ListConfig, list or tuple")
NOT_A_MAPPING = re.compile(r"Cannot assign \w+ to Dict|is not a (DictConfig|dict)")

KINDS = {bool: "true or false", int: "a whole number", float: "a number"}


def wrong_value(error: BaseException, refused: OmegaConfBaseException | None) -> UserError:
    """Explain a value that does not fit its setting: several values, a wrong type, a name that is not allowed."""
    if ambiguous := AMBIGUOUS.search(str(error)):
        return UserError(
            f"{ambiguous.group(1)} has several values, which only a sweep can use.",
            "Add -m to run a sweep over the values, or choose one of them.",
        )
    if removed := NOT_REMOVED.search(str(error)):
        return _not_removed(*removed.groups())
    if twice := TWICE.search(str(error)):
        return UserError(f"{twice.group(1)} is chosen more than once.", "Choose it once.")
    if refused is not None and isinstance(refused, ValidationError) and refused.value is None:
        setting = re.sub(r"\[\d+\]$", "", f"{refused.full_key}")
        return UserError(f"{setting}=null: this setting needs a value.", f"Write {setting}=VALUE.")
    if refused is not None and isinstance(refused, ValidationError):
        wanted = _declared_type(refused)
        if wanted in KINDS:
            return UserError(f"{refused.full_key}={refused.value} has the wrong type.", f"It must be {KINDS[wanted]}.")
        if isinstance(wanted, EnumMeta):
            allowed = [name.lower() if name.isupper() else name for name in wanted.__members__]
            return UserError(
                f"{refused.full_key}={refused.value} is not allowed.",
                f"It must be one of: {', '.join(allowed)}.{nearest(str(refused.value), allowed)}",
            )
    if refused is not None and (answer := _wrong_shape(refused)):
        return answer
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


def _wrong_shape(refused: OmegaConfBaseException) -> UserError | None:
    """Explain a single value where a list or a mapping is needed, or a setting that was to be removed."""
    key, said = refused.full_key, str(refused)
    if (wanted := _declared_type(refused) if refused.key is not None else None) and is_dataclass(wanted):
        names = ", ".join(sorted(field.name for field in fields(wanted)))
        group = f"{key}".replace(".", "/")
        options = ", ".join(option for one, option, _ in list_options(searched) if one == group)
        chosen = f" To choose one of {options}, write {group}=NAME." if options else ""
        return UserError(
            f"{key} is a group of settings, not a single value.{chosen}",
            f"Write {key}.NAME=VALUE with one of these names: {names}.",
        )
    if NOT_A_LIST.search(said):
        return UserError(f"{key} must be a list.", f"Write '{key}=[FIRST,SECOND]'; in a file, [FIRST, SECOND].")
    if NOT_A_MAPPING.search(said):
        return UserError(f"{key} needs a value for each name.", f"Write '{key}={{NAME: VALUE}}'.")
    if isinstance(refused, ConfigTypeError) and "support deletion" in said:
        return UserError(f"~{key}: a setting cannot be removed.", f"Give it another value: {key}=VALUE.")
    return None


def _not_removed(absent: str | None, key: str | None, value: str | None) -> UserError:
    if key:
        return UserError(f"~{key}: its value is {value}, and a setting cannot be removed.", f"Write {key}=VALUE.")
    if "." in f"{absent}":
        return UserError(f"~{absent}: a setting cannot be removed.", f"Give it another value: {absent}=VALUE.")
    return UserError(f"~{absent}: the config does not have {absent}, so it cannot be removed.", "Leave it out.")


def not_settings(found: re.Match[str]) -> UserError:
    """Explain a single value in place of a group's settings."""
    return UserError(
        f"{found.group(2)} is given where {found.group(1)} settings are needed.",
        "Write the settings below the group's name, each on a line of its own, indented by two spaces.",
    )
