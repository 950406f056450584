"""Command lines that cannot mean anything to Hydra, answered before it reads them: flags, spaces around '=', pluses."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from slimline.pipeline.config_folders import ConfigFolders
from slimline.pipeline.errors import UserError, nearest
from slimline.pipeline.settings import Setting

EXPERIMENT = "experiment"
SWITCHES = ("--hydra-help", "--resolve", "--run", "-r", "--multirun", "-m")
WITH_VALUE = ("--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd")
OPTIONAL_VALUE = ("--info", "-i")
UNSUPPORTED = {
    "--experimental-rerun": "To repeat a run, give its overrides again: they are in its overrides.json.",
    "--shell-completion": "`--help` lists every choice.",
    "-sc": "`--help` lists every choice.",
}
MOST_SUGGESTED = 3
ALL = "`+experiment=flowers --cfg job` shows all settings."


@dataclass(frozen=True)
class Vocabulary:
    """What a command line may name: groups with their options, settings, flags of other programs.

    `listed` holds the groups that take no plus. `flags` gives, for a flag of another program without its dashes, the
    setting or the group that does the same, or advice, which begins with a capital letter.
    """

    groups: Mapping[str, Sequence[str]]
    settings: Mapping[str, Setting]
    flags: Mapping[str, str]
    listed: frozenset[str] = frozenset()


def read_vocabulary(folders: ConfigFolders, settings: Mapping[str, Setting], flags: Mapping[str, str]) -> Vocabulary:
    """Return what a command line may name, with the groups of these folders of configs."""
    groups: dict[str, list[str]] = {}
    for group, name, _ in folders.options():
        groups.setdefault(group, []).append(name)
    return Vocabulary(groups, settings, flags, _listed(folders.shipped / "config.yaml"))


def _listed(root: Path) -> frozenset[str]:
    """Return the groups that the root config lists, and that a plus would therefore choose twice."""
    if not root.is_file():
        return frozenset()
    defaults = (yaml.safe_load(root.read_text(encoding="utf-8")) or {}).get("defaults", ())
    return frozenset(group for item in defaults if isinstance(item, dict) for group in item)


def check_typed(typed: Sequence[str], words: Vocabulary) -> None:
    """Refuse what Hydra would answer with its own usage, with a traceback, or not at all.

    Raises:
        UserError: a flag is unknown, flags do not go together, a setting lacks its '=', or a plus adds a setting that
            does not exist.
    """
    flags = {one.partition("=")[0] for one in typed if one.startswith("-")}
    _check_together(flags)
    place = 0
    while place < len(typed):
        word, following = typed[place], list(typed[place + 1 :])
        if word.startswith("-") and len(word) > 1:
            place += _flag(word, following, words)
        else:
            _check_word(word, following, words)
            place += 1


def _check_together(flags: set[str]) -> None:
    shows = flags & {"--cfg", "-c", "--info", "-i"}
    if "--resolve" in flags and not shows:
        raise UserError("--resolve does nothing without --cfg.", "Write --cfg job --resolve.")
    if {"--package", "-p"} & flags and not shows:
        raise UserError("--package does nothing without --cfg.", "Write --cfg job --package train.")
    if shows and {"--multirun", "-m"} & flags:
        raise UserError(
            f"{sorted(shows)[0]} shows the config of one run, and -m runs a sweep.",
            "Leave -m out, and give each setting one value.",
        )


def _flag(word: str, following: Sequence[str], words: Vocabulary) -> int:
    """Check one flag; return how many words it takes.

    Raises:
        UserError: it is unknown or not supported, or its value is missing.
    """
    name, given, value = word.partition("=")
    if name in UNSUPPORTED:
        raise UserError(f"{name} is not supported.", UNSUPPORTED[name])
    if name in SWITCHES:
        return 1
    if name in OPTIONAL_VALUE:
        return 1 if given or not following or "=" in following[0] or following[0].startswith("-") else 2
    if name in WITH_VALUE:
        if not given and (not following or following[0].startswith("-")):
            raise UserError(f"{name} has no value.", f"Write {name} VALUE.")
        return 1 if given else 2
    raise _unknown_flag(name, value if given else _value(following), words)


def _value(following: Sequence[str]) -> str:
    return following[0] if following and not following[0].startswith("-") and "=" not in following[0] else ""


def _unknown_flag(flag: str, value: str, words: Vocabulary) -> UserError:
    name = flag.lstrip("-").replace("-", "_")
    problem = f"{flag} is not an option of this program: settings are written as name=value, without dashes."
    told = words.flags.get(name, "")
    if told[:1].isupper():
        return UserError(problem, told)
    if name == EXPERIMENT:
        return UserError(problem, f"Write {_written('+experiment', value)}.")
    if name in words.groups:
        return UserError(problem, f"Write {_written(name, value)}.")
    keys = [told] if told else _keys_called(name, words)
    if keys:
        return UserError(problem, f"Write {' or '.join(_written(key, value) for key in keys)}.")
    allowed = [*(one for one in (*SWITCHES, *WITH_VALUE) if one.startswith("--")), "--help", "--version"]
    return UserError(problem, f"The options are: {', '.join(sorted(allowed))}.{nearest(flag, allowed)}")


def _keys_called(name: str, words: Vocabulary) -> list[str]:
    """List the settings whose last part is a name: those nearest to the root of the config first."""
    names = {key.rpartition(".")[2] for key in words.settings}
    wanted = name.replace(".", "_")
    if name in words.settings:
        return [name]
    if wanted not in names:
        return []
    keys = [key for key in words.settings if key.rpartition(".")[2] == wanted]
    return sorted(keys, key=lambda key: (key.count("."), key))[:MOST_SUGGESTED]


def _check_word(word: str, following: Sequence[str], words: Vocabulary) -> None:
    key, equals, value = word.partition("=")
    bare = key.lstrip("+~")
    known = bare in words.settings or bare in words.groups or bare == EXPERIMENT
    if known and not equals and not word.startswith("~"):
        rest = following[1:] if following[:1] == ["="] else [one.removeprefix("=") for one in following]
        raise UserError(f"{word} has no value.", f"Write {_written(_plus(key), _value(rest))}, without spaces.")
    if known and equals and not value and (after := _value(following)):
        raise UserError(
            f"{word} has no value: a space separates it from {after}.", f"Write {_written(key, after)}, without spaces."
        )
    if bare == EXPERIMENT and equals and key == bare:
        raise UserError(
            f"{word} lacks a plus: an experiment is added to the config.", f"Write {_written('+experiment', value)}."
        )
    if key.startswith("+") and equals and bare in words.listed:
        raise UserError(f"{word} takes no plus: {bare} is part of each config.", f"Write {_written(bare, value)}.")
    if key.startswith("+") and not known:
        _check_added(bare, value, words)


def _check_added(key: str, value: str, words: Vocabulary) -> None:
    """Refuse a plus that adds a setting which no schema has: nothing would read it.

    Raises:
        UserError: the setting does not exist.
    """
    is_open = any(setting.is_open and key.startswith(f"{name}.") for name, setting in words.settings.items())
    is_part = any(name.startswith(f"{key}.") for name in words.settings)  # a mapping; what is in it is checked later
    if is_open or is_part or "@" in key or key.partition(".")[0] == "hydra":
        return
    if "/" in key:
        near = nearest(key, words.groups)
        raise UserError(f"{key} is not a group.{near}", f"The groups are: {', '.join(words.groups)}.")
    parent, _, name = key.rpartition(".")
    former = {
        f"{one.rpartition('.')[0]}.{old}": one for one, setting in words.settings.items() for old in setting.former
    }
    if present := former.get(key):
        raise UserError(f"{key} has a new name: {present}.", f"Write {_written(present, value)}.")
    siblings = sorted(
        {
            one.removeprefix(f"{parent}.").partition(".")[0]
            for one in words.settings
            if parent and one.startswith(f"{parent}.")
        }
    )
    near = nearest(name, siblings, f"{parent}.") if siblings else nearest(key, words.settings)
    advice = f"{parent} has: {', '.join(siblings)}." if siblings else ALL
    raise UserError(f"{key} is not a setting of this config.{near}", advice)


def _former_names(words: Vocabulary) -> dict[str, str]:
    names = words.settings.items()
    return {f"{key.rpartition('.')[0]}.{old}": key for key, setting in names for old in setting.former}


def _plus(key: str) -> str:
    return f"+{EXPERIMENT}" if key == EXPERIMENT else key


def _written(key: str, value: str) -> str:
    """Write a setting as it can be pasted into a shell."""
    return shlex.quote(f"{key}={value}") if value else f"{key}=VALUE"
