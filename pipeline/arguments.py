"""Arguments of the command line, rewritten for Hydra's grammar by the type of the setting that each one gives.

Hydra's grammar refuses many paths (apostrophes, umlauts, brackets), reads `run.name=1e3` as the number 1000.0, takes no
single value for a list, and no new name for a mapping without a plus. The schemas say what each setting takes, so an
argument can be put into the form that Hydra reads as the user meant it. What Hydra reads rightly stays as it is.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, Quote, QuotedString
from hydra.errors import HydraException

from slimline.pipeline.config_nodes import percent_encoded
from slimline.pipeline.errors import UserError
from slimline.pipeline.settings import Setting

ARGUMENT = re.compile(r"(?P<plus>\+{0,2})(?P<key>[^=+~][^=]*)=(?P<value>.*)", re.DOTALL)
READABLE = re.compile(r"[A-Za-z]([\w .()\[\]-]*[\w.()\[\]-])?", re.ASCII)
"""Names that Hydra's grammar reads as texts, once spaces and brackets are escaped."""
WHOLE = re.compile(r"[-+]?\d+(\.0+|(\.\d+)?[eE]\+?\d{1,2})")
DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+")


def rewrite_arguments(arguments: Sequence[str], settings: Mapping[str, Setting], *, sweep: bool = False) -> list[str]:
    """Return settings as typed in the form in which Hydra reads what was meant; `sweep`: a comma separates points.

    Raises:
        UserError: a setting has no value, or several values where only one is possible.
    """
    _refuse_repeated_lists(arguments, settings)
    return [_rewrite(argument, settings, sweep) for argument in arguments]


def _refuse_repeated_lists(arguments: Sequence[str], settings: Mapping[str, Setting]) -> None:
    """Refuse several single values for a setting that takes a list, as a shell makes of `x.photos={a,b}.jpg`.

    Hydra would use the last one alone. A value in brackets replaces those before it, as for any other setting.

    Raises:
        UserError: a setting that takes a list is given several single values.
    """
    given: dict[str, list[str]] = {}
    for argument in arguments:
        found = ARGUMENT.fullmatch(argument)
        key = found["key"].strip() if found else ""
        if found and key in settings and (settings[key].is_flat_list or settings[key].kind is Any):
            given.setdefault(key, []).append(found["value"].strip())
    for key, values in given.items():
        if len(set(values)) > 1 and not any(value.startswith("[") for value in values):
            raise UserError(
                f"{key} is given {len(values)} times, and only the last one would be used: {', '.join(values)}.",
                "Write one list: " + shlex.quote(f"{key}=[{','.join(values)}]"),
            )


def _rewrite(argument: str, settings: Mapping[str, Setting], sweep: bool) -> str:
    found = ARGUMENT.fullmatch(argument)
    if not found:
        return argument
    plus, key, value = found["plus"], found["key"].strip(), found["value"].strip()
    if opened := next((name for name in settings if settings[name].is_open and f"{key}.".startswith(f"{name}.")), None):
        return _named(opened, key.removeprefix(opened).removeprefix("."), value, argument)
    setting = settings.get(key)
    if setting is None or "${" in value or (value == "null" and setting.nullable):
        return argument
    if not value:
        return _without_value(key, setting, argument)
    if setting.kind is float and not sweep and DECIMAL_COMMA.fullmatch(value):
        raise UserError(
            f"{key}={value}: a comma separates the values of a sweep; a decimal number takes a point.",
            f"Write {key}={value.replace(',', '.')}, or add -m to run each of {value}.",
        )
    if setting.kind is int and WHOLE.fullmatch(value) and float(value).is_integer():
        return f"{plus}{key}={int(float(value))}"
    if setting.kind is Any:
        is_list = value[0] == "[" or (not sweep and _has_several(value))
        written = _list(key, value, str, sweep) if is_list else _text(value, sweep)
    elif setting.is_text:
        written = _text(value, sweep)
    elif setting.is_flat_list:
        written = _list(key, value, setting.item, sweep)
    else:
        return argument
    return f"{plus}{key}={written}"


def _without_value(key: str, setting: Setting, argument: str) -> str:
    if setting.default == "":
        return argument
    to_clear = f" {key}=null stands for none." if setting.nullable else ""
    raise UserError(f"{key}= has no value.", f"Write {key}=VALUE, without a space on either side of '='.{to_clear}")


def _text(value: str, sweep: bool) -> str:
    """Write one text, such as a path; in a sweep several, separated by commas."""
    if _exists(value) or (_is_in_a_folder(value) and len(_split(value)) == 1):
        return quoted(value)
    parsed = _parse(value)
    if parsed is None and _is_quoted(value):
        return value
    if sweep and (parsed is None or _is_plain_sweep(parsed)) and len(items := _split(value)) > 1:
        return ",".join(_text(item, False) for item in items)
    if parsed is None or not (parsed.is_sweep_override() or isinstance(parsed.value(), str)):
        return quoted(value)
    return value


def _list(key: str, value: str, item: Any, sweep: bool) -> str:
    """Write a list; a single value is a list of one, and in a sweep each value between commas is."""
    parsed = None if _exists(value) else _parse(value)
    if parsed is not None and parsed.is_sweep_override() and not _is_plain_sweep(parsed):
        return value  # a sweep by a function, such as choice([a],[b]), says itself what each point takes
    items = [value] if _exists(value) else _split(value)
    if len(items) > 1 and not sweep:
        one_list = shlex.quote(f"{key}=[{','.join(items)}]")
        raise UserError(
            f"{key}={value} gives several values without brackets.",
            f"Write {one_list} for one list; with -m, each value is a point of a sweep.",
        )
    return ",".join(_one_list(one, item) for one in items)


def _has_several(value: str) -> bool:
    """Whether a value is several texts, separated by commas; quotes make it one."""
    return not _is_quoted(value) and len(_split(value)) > 1


def _one_list(value: str, item: Any) -> str:
    if not (value.startswith("[") and value.endswith("]")) or _exists(value):
        return f"[{_item(value, item)}]"
    items = _split(value[1:-1]) if value[1:-1].strip() else []
    return f"[{','.join(_item(one, item) for one in items)}]"


def _item(value: str, item: Any) -> str:
    return _text(value, False) if item is str else value


def _named(opened: str, name: str, value: str, argument: str) -> str:
    """Write values of a mapping whose names no schema lists: `train.class_weights.tulips=2`, or `={tulips: 2}`."""
    if name and not value:
        raise UserError(f"{argument} has no value.", f"Write {shlex.quote(f'{opened}.{name}=VALUE')}.")
    if name:
        return f"++{opened}={{{encode_name(name)}:{value}}}"
    if not (value.startswith("{") and value.endswith("}")):
        return argument
    if (parsed := _parse(value)) is not None and not parsed.is_sweep_override():
        return f"++{opened}={value}"
    pairs = [one.rpartition(":") for one in _split(value[1:-1])]
    return f"++{opened}={{{','.join(f'{encode_name(_unquoted(name))}:{number}' for name, _, number in pairs)}}}"


def encode_name(name: str) -> str:
    """Write a name so that Hydra's grammar reads it as a mapping's key."""
    if READABLE.fullmatch(name) and name.lower() not in ("true", "false", "null", "nan", "inf"):
        return re.sub(r"[ ()\[\]]", r"\\\g<0>", name)
    return percent_encoded(name)


def quoted(text: str) -> str:
    """Quote a text for Hydra's grammar, which reads every letter of it as it is."""
    return QuotedString(text, Quote.single).with_quotes()


def without_quotes(argument: str, settings: Mapping[str, Setting]) -> str:
    """Return a rewritten argument as it can be typed: without the quotes that rewriting it would add again."""
    key, _, value = argument.partition("=")
    if not (len(value) > 1 and value[0] == value[-1] == "'"):
        return argument
    typed = f"{key}={value[1:-1]}"
    try:
        return typed if rewrite_arguments([typed], settings) == [argument] else argument
    except UserError:
        return argument


def _split(value: str) -> list[str]:
    """Split at the commas outside brackets and quotes; neighbors that name a file only together stay together."""
    parts, depth, quote_mark, start = [], 0, "", 0
    for place, letter in enumerate(value):
        if quote_mark:
            quote_mark = "" if letter == quote_mark else quote_mark
        elif letter in "'\"" and not value[start:place].strip():
            quote_mark = letter
        elif letter in "[{(":
            depth += 1
        elif letter in "]})":
            depth -= 1
        elif letter == "," and depth <= 0:
            parts.append(value[start:place])
            start = place + 1
    return _joined([*parts, value[start:]])


def _joined(parts: list[str]) -> list[str]:
    """Join neighbors: as many as name a file only together, else as few as lie in a folder with a comma in its path."""
    found = []
    while parts:
        joints = {many: ",".join(parts[:many]).strip() for many in range(1, len(parts) + 1)}
        many = max((many for many, joint in joints.items() if _exists(joint)), default=0)
        many = many or next((many for many, joint in joints.items() if _is_in_a_folder(joint)), 1)
        found.append(joints[many])
        parts = parts[many:]
    return found


def parse_override(argument: str) -> Override:
    """Parse one argument by Hydra's grammar.

    Raises:
        OverrideParseException: Hydra cannot read it.
    """
    [parsed] = OverridesParser.create().parse_overrides([argument])
    return parsed


def _parse(value: str) -> Override | None:
    try:
        return parse_override(f"key={value}")
    except HydraException:
        return None


def _is_plain_sweep(parsed: Override) -> bool:
    """Whether a value is several, separated by commas, and not a function such as choice(...) or range(...)."""
    return parsed.is_sweep_override() and isinstance(parsed._value, ChoiceSweep) and parsed._value.simple_form


def _is_quoted(value: str) -> bool:
    return len(value) > 1 and value[0] in "'\"" and value[-1] == value[0] and _parse(value) is not None


def _unquoted(name: str) -> str:
    name = name.strip()
    return name[1:-1] if len(name) > 1 and name[0] in "'\"" and name[-1] == name[0] else name


def _exists(path: str) -> bool:
    """Whether a path exists; backslashes count as slashes too, as on Windows."""
    return any(_holds(place, Path.exists) for place in _places(path))


def _is_in_a_folder(path: str) -> bool:
    """Whether a name or a pattern is below a folder that exists and has a comma in its path."""
    folders = (folder for place in _places(path) for folder in place.parents if "," in str(folder))
    return any(_holds(folder, Path.is_dir) for folder in folders)


def _places(path: str) -> list[Path]:
    try:
        return [Path(form).expanduser() for form in {path, path.replace("\\", "/")} if path]
    except RuntimeError:  # the user after ~ does not exist
        return []


def _holds(path: Path, test: Callable[[Path], bool]) -> bool:
    try:
        return test(path)
    except (OSError, ValueError):
        return False
