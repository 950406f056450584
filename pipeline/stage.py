"""Stages: plain functions whose signature is their declaration."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import Field, dataclass, field, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from slimline.pipeline.artifact import Artifact, Facts
from slimline.pipeline.memo import Memo

Predicate = Callable[[Any], bool]
F = TypeVar("F", bound=Callable[..., Facts])


@dataclass(frozen=True)
class RunRecord:
    """What a stage that is never cached may know of the run it is part of."""

    path: Path
    manifest: Mapping[str, Any]
    artifacts: Mapping[str, Artifact]


GIVEN = {"run": RunRecord, "memo": Memo}
"""What a stage may take beside its inputs: a parameter of that name and that annotation."""


@dataclass(frozen=True)
class Stage:
    """A stage's declaration, read from its function; call it as the function itself.

    `optional` maps an input to the predicate on config that says whether it is needed, and `required` holds the others.
    `wants_record` and `wants_memo` are true for a stage that takes the run's record, or a memo. The rest is described
    in `stage`.
    """

    name: str
    function: Callable[..., Facts]
    config_type: type
    inputs: tuple[str, ...]
    optional: Mapping[str, Predicate]
    schemas: Mapping[str, type]
    cache: bool = True
    resume: bool = False
    resolve: Callable[..., Any] | None = None
    wants_record: bool = False
    wants_memo: bool = False
    required: frozenset[str] = frozenset()
    choices: Callable[[Any], Mapping[str, Sequence[str]]] | None = None
    follows: tuple[str, ...] = ()
    by_key: tuple[str, ...] = ()
    memo_without: tuple[str, ...] = ()
    undigested: tuple[str, ...] = ()

    def __call__(self, config: Any, out: Path, **inputs: Any) -> Facts:
        return self.function(config, out, **inputs)

    def needs(self, config: Any) -> tuple[str, ...]:
        """Name the inputs that this config calls for."""
        return tuple(name for name in self.inputs if name not in self.optional or self.optional[name](config))


def stage(
    *,
    cache: bool = True,
    resume: bool = False,
    resolve: Callable[..., Any] | None = None,
    optional: Mapping[str, Predicate] | None = None,
    schemas: Mapping[str, type] | None = None,
    choices: Callable[[Any], Mapping[str, Sequence[str]]] | None = None,
    follows: tuple[str, ...] = (),
    by_key: tuple[str, ...] = (),
    memo_without: tuple[str, ...] = (),
    undigested: tuple[str, ...] = (),
) -> Callable[[Callable[..., Facts]], Stage]:
    """Declare a function `(config, out, *, input: Artifact, other: Artifact | None) -> Facts` a stage.

    It may also take `memo: Memo`, where it keeps what it computed for parts of its inputs: that changes how long the
    work takes, never what comes out, and so is in no key. A stage with cache=False may take `run: RunRecord`.

    Args:
        cache: keep the output under its key; without it the stage always runs, in the run's directory.
        resume: hand a killed attempt's partial directory back, for the function to go on in; without
            it every attempt starts empty.
        resolve: `(config, plan) -> config`, called before keys are made, settles what depends on the
            world. With `plan` true it must do no work: it raises `Undecided` where work is needed.
        optional: for each input annotated `Artifact | None`, whether this config needs it.
        schemas: options of the stage's config group that have fields of their own, by option name
            (or `subgroup/option`); each type extends the config's.
        choices: `config -> {module of a table: references}`: what the config chooses from tables, see `Table`. A key
            then holds the chosen references and all that their modules import, and not what else the table lists.
        follows: stages that this one joins without being a target: it runs right after each of them, with the
            artifacts made so far; an input `Artifact | None` that isn't made yet is None.
        by_key: inputs that count by their key too and not by their content alone, as the stage reads files of theirs
            that no digest covers.
        memo_without: tables, by module, whose choice does not matter to what the memo holds.
        undigested: files of the output that only pages show: they stay outside its content digest.

    Raises:
        TypeError: the signature isn't that of a stage.
    """

    def declare(function: Callable[..., Facts]) -> Stage:
        return replace(
            _declaration(function, cache, dict(optional or {}), follows),
            resume=resume,
            resolve=resolve,
            schemas={} if schemas is None else schemas,  # as it is: plug-ins may add to it later
            choices=choices,
            follows=follows,
            by_key=by_key,
            memo_without=memo_without,
            undigested=undigested,
        )

    return declare


def _declaration(
    function: Callable[..., Facts], cache: bool, optional: dict[str, Predicate], follows: tuple[str, ...]
) -> Stage:
    """Read a stage's name, config and inputs from its function."""
    name = function.__name__
    hints = typing.get_type_hints(function)
    parameters = list(inspect.signature(function).parameters.values())
    if [parameter.name for parameter in parameters[:2]] != ["config", "out"]:
        raise TypeError(f"stage {name} takes (config, out, *, inputs ...), not {inspect.signature(function)}")
    if not is_dataclass(hints.get("config")) or hints.get("out") is not Path:
        raise TypeError(f"stage {name}: config must be a dataclass and out a Path")
    inputs, required, given = [], set(), set()
    for parameter in parameters[2:]:
        hint = hints.get(parameter.name)
        if parameter.kind is not parameter.KEYWORD_ONLY:
            raise TypeError(f"stage {name}: input {parameter.name} must be keyword-only")
        if parameter.name in GIVEN and hint is GIVEN[parameter.name]:
            given.add(parameter.name)
        elif hint is Artifact or _is_optional_artifact(hint):
            inputs.append(parameter.name)
            if hint is Artifact:
                required.add(parameter.name)
            if not follows and _is_optional_artifact(hint) != (parameter.name in optional):
                raise TypeError(f"stage {name}: {parameter.name} is `Artifact | None` if and only if optional names it")
        else:
            raise TypeError(f"stage {name}: {parameter.name} is annotated {hint}, not Artifact")
    if set(optional) - set(inputs):
        raise TypeError(f"stage {name}: optional names {sorted(set(optional) - set(inputs))}, which it doesn't take")
    if follows and (cache or optional):
        raise TypeError(f"stage {name} follows others: declare it cache=False, and no input optional")
    if "run" in given and cache:
        raise TypeError(f"stage {name} takes the run's record, which no key covers: declare it cache=False")
    return Stage(
        name,
        function,
        typing.cast(type, hints["config"]),
        tuple(inputs),
        optional,
        {},
        cache,
        wants_record="run" in given,
        wants_memo="memo" in given,
        required=frozenset(required),
    )


def _is_optional_artifact(hint: Any) -> bool:
    return isinstance(hint, types.UnionType) and set(hint.__args__) == {Artifact, type(None)}


def untracked(default: Any, *, former: tuple[str, ...] = ()) -> Any:
    """Make a config field that stays out of the key: it changes how the work is done, never its result."""
    return _marked(default, untracked=True, former=former)


def renamed(default: Any, *former: str) -> Any:
    """Make a config field that had other names in earlier versions: whoever uses one is told the present name."""
    return _marked(default, former=former)


def former_names(item: Field[Any]) -> tuple[str, ...]:
    """Return the names that a config's field had in earlier versions."""
    names: tuple[str, ...] = item.metadata.get("former", ())
    return names


def external(default: Any, more: Callable[[Any], Iterable[Path]] | None = None) -> Any:
    """Make a config field, a path, that enters the key by what lies there and not by its name.

    A folder counts by its files' relative paths and bytes; hidden files (a leading dot) don't count. Where a file
    names others, `more(config)` lists these, and their bytes count too.
    """
    return _marked(default, external=True, more=more)


def _marked(default: Any, **metadata: Any) -> Any:
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)
