"""Errors of Hydra and OmegaConf, explained in plain words for the user at the terminal."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import is_dataclass
from pathlib import Path

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from slimline.pipeline.config import SCHEMA
from slimline.pipeline.config_files import ALL_SETTINGS, EXPERIMENT, chosen, explain_yaml, searched, shown, used
from slimline.pipeline.config_folders import list_options
from slimline.pipeline.config_nodes import not_a_setting
from slimline.pipeline.errors import UserError, nearest
from slimline.pipeline.settings import ConfigKeys
from slimline.pipeline.wrong_values import AMBIGUOUS, NOT_MERGED, NOT_SETTINGS, not_settings, wrong_value

REFUSALS = (HydraException, OmegaConfBaseException, ValueError, yaml.YAMLError)
"""The errors to explain. Hydra raises a bare ValueError for a choice that is null."""

NULL_CHOICE = "Config group override must be a string or a list"

# Hydra names the key of an override only in the message: these exceptions have no other data.
NOT_THERE = re.compile(r"Could not override '([^']+)'")
THERE_ALREADY = re.compile(r"Could not append to config\. An item is already at '([^']+)'")
CHOSEN_TWICE = re.compile(r"Multiple values for ([^.\s]+)\.")
IN_FILE = re.compile(r"\s*In '?([^':]+)'?: ")


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
    if found := CHOSEN_TWICE.match(str(error)):
        return _chosen_twice(found.group(1))
    refused = _refused(error)
    if inside := _unknown_inside(error, refused):
        return inside
    if found := NOT_THERE.search(str(error)):
        return _not_there(found.group(1), refused, keys)
    if found := THERE_ALREADY.search(str(error)):
        key = found.group(1)
        return UserError(
            f"{key} already exists, so it cannot be added with a plus.", f"Write {key}=... without the plus."
        )
    if (found := AMBIGUOUS.search(str(error))) and _is_unknown(
        key := found.group(1).partition("=")[0].lstrip("+"), keys
    ):
        return _unknown_key(key, keys)
    return wrong_value(error, refused)


def _is_unknown(key: str, keys: ConfigKeys) -> bool:
    """Whether a setting exists nowhere; groups, `experiment` and `hydra` are not settings."""
    known = key in keys.names or any(name.startswith(f"{key}.") for name in keys.names)
    return not known and "/" not in key and key.partition(".")[0] not in (EXPERIMENT, "hydra")


def _in_file(file: Path, error: BaseException, keys: ConfigKeys) -> UserError:
    """Explain a mistake in a file of the user or of a plug-in: in its settings or its list of defaults."""
    refused = _refused(error)
    if isinstance(refused, ConfigKeyError) and is_dataclass(refused.object_type) and "." not in f"{refused.full_key}":
        # an item of a list, such as train.phases, which OmegaConf names without the list
        answer = not_a_setting("", str(refused.key), refused.object_type)
    elif isinstance(refused, ConfigKeyError):
        answer = _unknown_key(f"{refused.full_key}", keys)
    elif found := NOT_THERE.search(str(error)):
        answer = _unknown_group(found.group(1), keys)
    elif isinstance(error, MissingConfigException) and error.missing_cfg_file:
        answer = _unknown_option(error.missing_cfg_file, error.options or (), keys)
    elif refused is not None:
        answer = wrong_value(error, refused)
    elif found := NOT_SETTINGS.search(str(error)):
        answer = not_settings(found)
    else:
        said = IN_FILE.sub("", str(error), count=1)
        answer = UserError(said.partition("\n")[0], "Correct the file's list of defaults.")
    return UserError(f"{shown(file)}: {answer}")


def _chosen_twice(group: str) -> UserError:
    """Explain a list of defaults that adds an option of a group which has one already."""
    if group == EXPERIMENT:
        return UserError("A command runs one experiment, and two are chosen.", f"Write +{EXPERIMENT}=NAME once.")
    file = next((shown(file) for (one, _), file in chosen.items() if one == group), None)
    problem = f"{group} is chosen already, so its option must be overridden."
    if file is None:
        return UserError(problem, f"Write {group}=OPTION without the plus.")
    return UserError(f"{file}: {problem}", f"Write '- override /{group}: OPTION' in its defaults.")


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


def _unknown_inside(error: BaseException, refused: OmegaConfBaseException | None) -> UserError | None:
    """Answer a mapping, or a list of them, that holds a name which its schema does not have: train={epoch: 3}."""
    found = NOT_THERE.search(str(error)) or NOT_MERGED.match(str(error))
    if not found or not isinstance(refused, ConfigKeyError) or not is_dataclass(refused.object_type):
        return None
    key, full = found.group(1).lstrip("+"), f"{refused.full_key}"
    if full == key:
        return None
    if f"{key}.".startswith(f"{full}."):  # it is the name of the group above that is unknown: evaluate.atleast.top1=1
        parent, _, name = full.rpartition(".")
        return not_a_setting(parent, name, refused.object_type)
    parent = full.rpartition(".")[0]
    # OmegaConf names the item of a list that is not part of the config yet without the list's key.
    parent = parent if f"{parent}.".startswith(f"{key}.") else f"{key}[...]" + (f".{parent}" if parent else "")
    return not_a_setting(parent, str(refused.key), refused.object_type)


def _unknown_key(key: str, keys: ConfigKeys) -> UserError:
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
            ALL_SETTINGS,
        )
    names = ", ".join(name.rpartition(".")[2] for name in siblings)
    return UserError(f"{key} is not a setting of this config.{nearest(key, siblings)}", f"{parent} has: {names}.")


def _quoted(text: str) -> str:
    """Quote a text for Hydra's grammar, with double quotes, as the shell needs single ones around them."""
    return QuotedString(text, Quote.double).with_quotes()


def _ungrammatical(argument: str) -> UserError:
    if "=" not in argument:
        experiments = sorted(option for group, option, _ in list_options(searched) if group == EXPERIMENT)
        near = nearest(argument, experiments, f"+{EXPERIMENT}=")
        return UserError(
            f"{argument or repr(argument)} is not a setting.{near}",
            f"Write a setting as key=value, and an experiment as +{EXPERIMENT}=NAME; --help lists the choices.",
        )
    key, _, value = argument.partition("=")
    items = [_quoted(item.strip().strip("'\"")) for item in value.strip("[]").split(",")]
    written = f"{key}=[{','.join(items)}]" if value.startswith("[") else f"{key}={_quoted(value)}"
    problem = f"{argument} cannot be read: the value contains a special character of Hydra's grammar."
    try:
        OverridesParser.create().parse_override(written)
    except HydraException:  # it is the key that cannot be read
        return UserError(problem, "Write a setting as key=value; --help lists the choices.")
    return UserError(problem, f"Quote it for the shell and for Hydra: {shlex.quote(written)}")
