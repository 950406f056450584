"""What Hydra and OmegaConf refuse, said again for the person at the terminal."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException

from slimline.pipeline.config import SCHEMA
from slimline.pipeline.errors import UserError

REFUSALS = (HydraException, OmegaConfBaseException, ValueError)
"""Hydra also raises a bare ValueError, for a choice that is null."""

NULL_CHOICE = "Config group override must be a string or a list"


def expand_home(argument: str, home: str) -> str:
    """Expand `~/` at the start of a value or a list's item: no shell does it there, and Hydra's grammar refuses it."""
    return re.sub(r"(?<=[=\[,])~(?=/|$|[,\]])", lambda _: home, argument)


def explain(error: BaseException, keys: Sequence[str]) -> UserError:
    """Turn a refusal into plain lines: the value, what is allowed, what to do. `keys` are all config keys."""
    text = "\n".join(str(part) for part in _chain(error))
    if isinstance(error, ValueError):
        if NULL_CHOICE not in text:
            raise error
        return UserError(
            "A choice of the config can't be null.",
            "Leave it away with a tilde, as in ~head, or name an option: head=linear.",
        )
    if isinstance(error, MissingConfigException) and "Available options" in text:
        return _unknown_option(text)
    if found := re.search(r"Could not find '([^']+)'|In 'config': Could not find '([^']+)'", text):
        return UserError(
            f"There is no config {found.group(1) or found.group(2)!r}.",
            "Look into conf/ for those that there are.",
        )
    if found := re.search(r"Could not override '([^']+)'", text):
        key = found.group(1)
        inside = re.search(rf"full_key: ({re.escape(key)}\.(\S+))", text)  # key={name: value}: it is the name
        if inside and "is not in struct" in text:
            return UserError(
                f"{key} takes names that aren't there yet, such as {inside.group(2)}, with a plus.",
                f"Write '+{key}={{{inside.group(2)}: ...}}'.",
            )
        return _unknown_key(inside.group(1) if inside else key, keys)
    if found := re.search(r"Could not append to config.*\n?.*'([^']+)' is already|Could not append.*?'([^']+)'", text):
        key = found.group(1) or found.group(2)
        return UserError(f"{key} is there already, so it takes no plus.", f"Write {key}=... without the plus.")
    if isinstance(error, OverrideParseException):
        return _ungrammatical(error.override)
    return _wrong_value(text)


def _chain(error: BaseException | None) -> list[BaseException]:
    chain = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    return chain


def _unknown_option(text: str) -> UserError:
    wanted = re.search(r"Could not find '([^']+)'", text)
    group, _, option = (wanted.group(1) if wanted else "?/?").rpartition("/")
    listed = re.search(r"Available options in '[^']*':\n((?:\t.*\n?)+)", text)
    options = [line.strip() for line in listed.group(1).splitlines()] if listed else []
    options = [name for name in options if not name.endswith(SCHEMA)]
    return UserError(
        f"{group}={option}: there is no such choice.",
        f"The choices are: {', '.join(options)}.{_nearest(option, options)}",
    )


def _unknown_key(key: str, keys: Sequence[str]) -> UserError:
    parent = key.rpartition(".")[0]
    if key in keys or any(name.startswith(f"{key}.") for name in keys):
        return UserError(
            f"{key} doesn't belong to this experiment's choices.",
            "Choose the experiment (+experiment=...) or the option that has it.",
        )
    siblings = [name for name in keys if name.rpartition(".")[0] == parent]
    if not siblings:
        near = _nearest(key, list(keys))
        return UserError(
            f"{key} is no key of this config.{near}",
            "`python -m pipeline +experiment=flowers --cfg job` shows all keys.",
        )
    names = ", ".join(name.rpartition(".")[2] for name in siblings)
    return UserError(f"{key} is no key of this config.{_nearest(key, siblings)}", f"{parent} has: {names}.")


def _nearest(word: str, words: Sequence[str]) -> str:
    found = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    return f" Did you mean {found[0]}?" if found else ""


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


def _wrong_value(text: str) -> UserError:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    key = next((line.removeprefix("full_key:").strip() for line in lines if line.startswith("full_key:")), "")
    wrapped = re.search(r"Error merging override '?([^'\s]+)", text)
    said = next(
        (line for line in lines if line.startswith(("Value ", "Invalid value ", "Incompatible ", "field "))),
        "",
    )
    said = said or next(
        (line for line in lines if not line.startswith(("Error merging", "full_key", "object_type", "reference_type"))),
        text,
    )
    if found := re.search(r"Value '(.*)' is not a valid bool", said):
        return UserError(f"{key}={found.group(1)} has the wrong type.", "It must be true or false.")
    if found := re.search(r"Value '(.*)' of type '\w+' could not be converted to (\w+)", said):
        name = {"Integer": "a whole number", "Float": "a number", "Boolean": "true or false"}.get(
            found.group(2), found.group(2)
        )
        return UserError(f"{key}={found.group(1)} has the wrong type.", f"It must be {name}.")
    if found := re.search(r"Invalid value '(.*)', expected one of \[(.*)\]", said):
        allowed = [
            name.strip().lower() if name.strip().isupper() else name.strip() for name in found.group(2).split(",")
        ]
        value = found.group(1)
        return UserError(
            f"{key}={value} isn't allowed.",
            f"It must be one of: {', '.join(allowed)}.{_nearest(value, allowed)}",
        )
    return UserError(
        f"{key or (wrapped.group(1) if wrapped else 'The config')}: {said}",
        "`--cfg job` shows the config as it stands.",
    )
