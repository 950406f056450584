"""What a sweep varies: settings with several values, or with an interval to search."""

from __future__ import annotations

import itertools
import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, IntervalSweep, Override

from slimline.pipeline.arguments import parse_override
from slimline.pipeline.config import SCHEMA
from slimline.pipeline.errors import UserError
from slimline.pipeline.settings import Setting

Values = dict[str, str]
"""The value of each varied setting at one point, as Hydra reads it."""

LISTS = ("run.sweep.metric", "run.sweep.columns")
FOLDERS = ("run.name", "run.directory")
SWEEPS_OWN = ("run.sweep", "run.plan", "run.force", "run.targets")


@dataclass(frozen=True)
class Interval:
    """An interval of numbers, with its ends; `log`: equal ratios are equally likely; `whole`: whole numbers only."""

    low: float
    high: float
    log: bool = False
    whole: bool = False


@dataclass(frozen=True)
class Dimension:
    """One varied setting, as it is typed before '=', with its values, or with an interval."""

    name: str
    values: tuple[str, ...] = ()
    interval: Interval | None = None

    @property
    def count(self) -> float:
        """The number of different values."""
        if self.interval is None:
            return len(self.values)
        return self.interval.high - self.interval.low + 1 if self.interval.whole else math.inf

    def every(self) -> tuple[str, ...]:
        """Return all values of a setting that has a finite number of them."""
        if self.interval is None:
            return self.values
        return tuple(str(number) for number in range(int(self.interval.low), int(self.interval.high) + 1))

    def ends(self) -> tuple[str, ...]:
        """Return all values, or the ends of the interval."""
        if self.interval is None:
            return self.values
        return tuple(number_text(end, self.interval.whole) for end in (self.interval.low, self.interval.high))


@dataclass(frozen=True)
class Space:
    """The overrides that all points share, and what varies."""

    fixed: tuple[str, ...]
    dimensions: tuple[Dimension, ...]

    @property
    def searched(self) -> bool:
        """Whether an interval is searched; otherwise every combination of values is a point."""
        return any(one.interval for one in self.dimensions)

    @property
    def size(self) -> float:
        """The number of different points; infinite where an interval has more than whole numbers."""
        return math.prod(one.count for one in self.dimensions)

    @property
    def grid_size(self) -> int:
        """The number of combinations of values."""
        return math.prod(len(one.values) for one in self.dimensions)

    def grid(self) -> Iterator[Values]:
        """Yield every combination of values; the last setting changes fastest."""
        names = [one.name for one in self.dimensions]
        for values in itertools.product(*(one.values for one in self.dimensions)):
            yield dict(zip(names, values, strict=True))

    def describe(self, values: Mapping[str, str]) -> str:
        """Describe a point by what varies; a setting is named by its last part where that is unique."""
        last = [one.name.lstrip("+").rpartition(".")[2] for one in self.dimensions]
        short = {
            one.name: name if last.count(name) == 1 else one.name
            for one, name in zip(self.dimensions, last, strict=True)
        }
        return " ".join(f"{short.get(name, name)}={value}" for name, value in values.items()) or "no overrides"

    def overrides(self, values: Mapping[str, str]) -> list[str]:
        """Return the overrides of a point."""
        return [*self.fixed, *(f"{name}={value}" for name, value in values.items())]


def number_text(value: float, whole: bool) -> str:
    """Write a number so that Hydra reads the same number."""
    return str(int(value)) if whole else repr(float(value))


def value_of(text: str) -> Any:
    """Return the value that Hydra reads from the text after '='."""
    return parse_override(f"key={text}").value()


def read_space(
    arguments: Sequence[str], loader: ConfigLoader | None = None, settings: Mapping[str, Setting] | None = None
) -> Space:
    """Read what a sweep varies from its arguments, without Hydra's own settings.

    `settings` says what each setting takes: an interval needs one that takes numbers, and of a setting that takes whole
    numbers it has no others. Without it any interval is taken.

    Raises:
        UserError: a setting cannot be varied, is varied twice, or has no values.
    """
    parsed = OverridesParser.create(loader).parse_overrides(list(arguments))
    parsed = [one for one in parsed if not one.is_hydra_override()]
    varied = [one for one in parsed if one.is_sweep_override()]
    names = [one.get_key_element() for one in varied]
    for one, name in zip(varied, names, strict=True):
        _check_name(one, name, names)
    fixed = [str(one.input_line) for one in parsed if not one.is_sweep_override()]
    return Space(tuple(fixed), tuple(_dimension(one, settings) for one in varied))


def _check_name(one: Override, name: str, names: Sequence[str]) -> None:
    plain = name.lstrip("+~")
    if plain in FOLDERS:
        raise UserError(
            f"{one.input_line}: a sweep cannot use several folders of runs.",
            f"Give {plain} one value; all points of a sweep share one folder.",
        )
    if plain in LISTS:
        values = str(one.input_line).partition("=")[2]
        raise UserError(f"{one.input_line}: the values need brackets.", f"Write {shlex.quote(f'{plain}=[{values}]')}")
    if plain.startswith(SWEEPS_OWN):
        raise UserError(f"{one.input_line}: {plain} applies to the whole sweep.", "Give it one value.")
    if names.count(name) > 1:
        raise UserError(f"{plain} is varied twice.", f"Write all its values once: {plain}=A,B,C")


def _dimension(one: Override, settings: Mapping[str, Setting] | None) -> Dimension:
    value, name = one.value(), one.get_key_element()
    if isinstance(value, IntervalSweep):
        return Dimension(name, interval=_interval(one, value, settings))
    if isinstance(value, ChoiceSweep) and any(isinstance(item, IntervalSweep) for item in value.list):
        raise UserError(
            f"{one.input_line}: an interval cannot be one of several values.",
            f"Write one interval, or values without it: {name}=A,B",
        )
    values = tuple(dict.fromkeys(one.sweep_string_iterator()))
    if isinstance(value, Glob):  # the loader also lists the schemas of a group, which cannot be chosen
        values = tuple(text for text in values if text.rpartition("_")[2] != SCHEMA)
    if not values:
        raise UserError(f"{one.input_line} has no values.", f"Give {name.lstrip('+')} at least one: {name}=A,B")
    return Dimension(name, values)


def _interval(one: Override, value: IntervalSweep, settings: Mapping[str, Setting] | None) -> Interval:
    """Read an interval.

    Raises:
        UserError: its setting takes no numbers, its ends are not in order, or its tag is unknown.
    """
    name, low, high = one.get_key_element(), value.start, value.end
    assert low is not None and high is not None
    kind = settings[one.key_or_group].kind if settings and one.key_or_group in settings else None
    if settings is not None and kind not in (int, float):
        raise UserError(
            f"{one.input_line}: an interval needs a setting that takes a number.",
            f"List the values of {name.lstrip('+')}: {name}=A,B",
        )
    if not (math.isfinite(low) and math.isfinite(high)):
        raise UserError(f"{one.input_line}: the ends of an interval are finite numbers.", "Write two numbers.")
    if not low < high:
        raise UserError(
            f"{one.input_line}: the interval has no numbers between its ends.",
            f"Write the smaller end first: {shlex.quote(f'{name}=interval(0,0.2)')}",
        )
    whole = kind is int or (isinstance(low, int) and isinstance(high, int))
    if whole and not (float(low).is_integer() and float(high).is_integer()):
        raise UserError(
            f"{one.input_line}: {name} takes whole numbers.",
            f"Write whole numbers: {shlex.quote(f'{name}=interval({math.floor(low)},{math.ceil(high)})')}",
        )
    unknown = sorted(value.tags - {"log"})
    if unknown:
        raise UserError(f"{one.input_line}: the tag {unknown[0]} is unknown.", "The only tag is log.")
    if "log" in value.tags and low <= 0:
        raise UserError(
            f"{one.input_line}: an interval with tag(log, ...) must begin above 0.",
            "Begin at a small number such as 1e-5, or leave tag(log, ...) out.",
        )
    return Interval(float(low), float(high), "log" in value.tags, whole)
