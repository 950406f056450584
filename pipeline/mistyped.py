"""Command lines that cannot mean anything to Hydra, answered before it reads them: flags, spaces around '=', pluses."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import yaml

from slimline.pipeline.config_files import ALL_SETTINGS, SWEEP
from slimline.pipeline.config_folders import ConfigFolders
from slimline.pipeline.errors import UserError, nearest
from slimline.pipeline.settings import Setting, former_keys

EXPERIMENT = "experiment"
SWITCHES = ("--hydra-help", "--resolve", "--run", "-r", "--multirun", "-m")
WITH_VALUE = ("--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd")
OPTIONAL_VALUE = ("--info", "-i")
SHOWN = {
    "--cfg": ("job", "hydra", "all"),
    "--info": ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath"),
}
UNSUPPORTED = {
    "--experimental-rerun": "To repeat a run, give its overrides again: they are in its overrides.json.",
    "--shell-completion": "`--help` lists every choice.",
    "-sc": "`--help` lists every choice.",
}
MOST_SUGGESTED = 3


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
    kept = next((one for one in typed if one.startswith(f"+{SWEEP}=")), None)
    if kept and not flags & {"--multirun", "-m", "--cfg", "-c", "--info", "-i"}:
        raise UserError(f"{kept} is a sweep, which runs several points.", f"Add -m: -m {' '.join(typed)}")
    place = 0
    while place < len(typed):
        word, following = typed[place], list(typed[place + 1 :])
        if word.startswith("-") and len(word) > 1:
            place += _flag(word, following, words)
        else:
            _check_list(word, following, words)
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
        alone = given or not following or "=" in following[0] or following[0].startswith("-")
        _check_shown("--info", value if given or alone else following[0])
        return 1 if alone else 2
    if name in WITH_VALUE:
        if not given and (not following or following[0].startswith("-")):
            raise UserError(f"{name} has no value.", f"Write {name} {'job' if name in ('--cfg', '-c') else 'VALUE'}.")
        if name in ("--cfg", "-c"):
            _check_shown("--cfg", value if given else following[0])
        return 1 if given else 2
    raise _unknown_flag(name, value if given else _value(following), words)


def _check_shown(flag: str, value: str) -> None:
    if value and value not in SHOWN[flag]:
        near = nearest(value, SHOWN[flag])
        raise UserError(f"{flag} {value} shows nothing.{near}", f"Write {flag} with one of: {', '.join(SHOWN[flag])}.")


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


def _check_list(word: str, following: Sequence[str], words: Vocabulary) -> None:
    """Refuse the words that a shell makes of `classify.images=a.jpg b.jpg`: a list is one word."""
    key, _, value = word.partition("=")
    more = list(takewhile(lambda one: "=" not in one and not one.startswith("-"), following))
    setting = words.settings.get(key)
    if value and more and setting and (setting.is_flat_list or setting.kind is Any) and not value.startswith("["):
        one_list = shlex.quote(f"{key}=[{','.join([value, *more])}]")
        raise UserError(f"{more[0]} is not a setting, and a list is one word.", f"Write {one_list}.")


def _check_word(word: str, following: Sequence[str], words: Vocabulary) -> None:
    key, equals, value = word.partition("=")
    bare = key.lstrip("+~")
    if not equals:
        _check_bare(word, following, words)
    _check_key(key, bare, value, words)
    known = bare in words.settings or bare in words.groups or bare == EXPERIMENT
    if known and not equals and not word.startswith("~"):
        rest = following[1:] if following[:1] == ["="] else [one.removeprefix("=") for one in following]
        raise UserError(f"{word} has no value.", f"Write {_written(_plus(key), _value(rest))}, without spaces.")
    if known and equals and not value and (after := _value(following)):
        raise UserError(
            f"{word} has no value: a space separates it from {after}.", f"Write {_written(key, after)}, without spaces."
        )
    if bare in (EXPERIMENT, SWEEP) and equals and key == bare:
        kind = "an experiment" if bare == EXPERIMENT else "a sweep"
        raise UserError(f"{word} lacks a plus: {kind} is added to the config.", f"Write {_written(f'+{bare}', value)}.")
    if key.startswith("+") and equals and bare in words.listed:
        raise UserError(f"{word} takes no plus: {bare} is part of each config.", f"Write {_written(bare, value)}.")
    if key.startswith("+") and not known:
        _check_added(bare, value, words)


def _check_bare(word: str, following: Sequence[str], words: Vocabulary) -> None:
    """Refuse a word that is the name of an experiment, of a command elsewhere, or a path next to a list of them."""
    rest = " ".join(shlex.quote(one) for one in following if "=" in one and not one.startswith("-"))
    if word in words.groups.get(EXPERIMENT, ()):
        written = f"+{EXPERIMENT}={word} {rest}".strip()
        paths = [one for one in following if "=" not in one and not one.startswith("-")]
        if word == "classify" and paths:
            written += " " + shlex.quote(f"classify.images=[{','.join(paths)}]")
        raise UserError(f"{word} lacks the name of its group: it is an experiment.", f"Write {written}.")
    if word in ("help", "version"):
        raise UserError(f"{word} is an option of this program.", f"Write --{word}.")


def _check_key(key: str, bare: str, value: str, words: Vocabulary) -> None:
    """Refuse `a.b:c`, `a.b:=c`, `a.b+=c` and `a.b==c` for a setting a.b: one '=' gives it its value."""
    name, _, rest = bare.partition(":")
    name = name.rstrip("+:-").strip()
    if value.startswith("=") and bare in words.settings:
        raise UserError(f"{key}={value} has two signs '='.", f"Write {_written(bare, value.lstrip('='))}.")
    if name != bare.strip() and (name in words.settings or name in words.groups) and not key.startswith("~"):
        given = value or rest
        raise UserError(f"{key} is not a setting: '=' gives one its value.", f"Write {_written(name, given)}.")


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
    if present := former_keys(words.settings).get(key):
        raise UserError(f"{key} has a new name: {present}.", f"Write {_written(present, value)}.")
    siblings = sorted(
        {
            one.removeprefix(f"{parent}.").partition(".")[0]
            for one in words.settings
            if parent and one.startswith(f"{parent}.")
        }
    )
    near = nearest(name, siblings, f"{parent}.") if siblings else nearest(key, words.settings)
    advice = f"{parent} has: {', '.join(siblings)}." if siblings else ALL_SETTINGS
    raise UserError(f"{key} is not a setting of this config.{near}", advice)


def _plus(key: str) -> str:
    return f"+{EXPERIMENT}" if key == EXPERIMENT else key


def _written(key: str, value: str) -> str:
    """Write a setting as it can be pasted into a shell."""
    return shlex.quote(f"{key}={value}") if value else f"{key}=VALUE"
