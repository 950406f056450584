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
Inputs = Artifact | tuple[Artifact, ...] | None
"""What a stage gets for an input: an artifact, those of all parts, or None if its config does not need it."""

Repeats = Callable[[Mapping[str, Any]], Mapping[str, Mapping[str, Any]]]
F = TypeVar("F", bound=Callable[..., Facts])


@dataclass(frozen=True)
class RunRecord:
    """The record of the current run, for a stage that is never cached."""

    path: Path
    manifest: Mapping[str, Any]
    artifacts: Mapping[str, Artifact]


GIVEN = {"run": RunRecord, "memo": Memo}
"""Parameters that a stage may take besides its inputs, by name and annotation."""


@dataclass(frozen=True)
class Stage:
    """A stage's declaration, read from its function; call it like the function itself.

    `optional` maps an input to a predicate on the config that says whether it is needed; `required` holds the others.
    `several` holds the inputs that the stage takes once for each of its parts. `wants_record` and `wants_memo` are true
    for a stage that takes the run's record or a memo. `imports` are modules that are imported in advance if the stage
    will run: see `WarmUp`. The other fields are described in `stage`.
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
    shown: tuple[str, ...] = ()
    gate: Callable[[Any, Artifact], None] | None = None
    repeats: Repeats | None = None
    several: frozenset[str] = frozenset()
    imports: tuple[str, ...] = ()

    def __call__(self, config: Any, out: Path, **inputs: Any) -> Facts:
        return self.function(config, out, **inputs)

    def needs(self, config: Any) -> tuple[str, ...]:
        """Return the names of the inputs that this config needs."""
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
    shown: tuple[str, ...] = (),
    gate: Callable[[Any, Artifact], None] | None = None,
    repeats: Repeats | None = None,
) -> Callable[[Callable[..., Facts]], Stage]:
    """Declare a function `(config, out, *, input: Artifact, other: Artifact | None) -> Facts` as a stage.

    It may also take `memo: Memo`, in which it keeps results for parts of its inputs. A memo changes how long the work
    takes, never the result, so it is in no key. A stage with cache=False may take `run: RunRecord`.

    Args:
        cache: keep the output under its key. Without it, the stage always runs and writes into the run's directory.
        resume: give the partial directory of a killed attempt to the function, which continues in it. Without it,
            every attempt starts with an empty directory.
        resolve: `(config, plan) -> config`, called before keys are made, sets the values that depend on the
            environment. With `plan` true it must do no work: it raises `Undecided` if work is needed.
        optional: for each input annotated `Artifact | None`, whether this config needs it.
        schemas: options of the stage's config group that have their own fields, by option name (or
            `subgroup/option`); each type extends the config's.
        choices: `config -> {module of a table: references}`: the table entries that the config chooses, see `Table`.
            A key then contains the chosen references and everything that their modules import, but not the table's
            other entries.
        follows: stages that this one follows without being a target: it runs right after each of them, with the
            artifacts made so far. An input `Artifact | None` that does not exist yet is None.
        by_key: inputs that count by their key as well as by their content, because the stage reads files in them that
            their content digest does not cover.
        memo_without: tables, by module, whose choice does not affect the content of the memo.
        undigested: files of the output that are only displayed; they are left out of its content digest.
        shown: facts for the stage's line on the terminal, most wanted first; if empty, all facts are candidates.
        gate: `(config, artifact) -> None`, called each time, also for a cached artifact, raises `GateFailed` if the
            result is below what the config asks for. What it reads of the config should be untracked. The stages that
            build on the artifact then do not run; those that are never cached, such as a report, do.
        repeats: for a stage whose inputs `Sequence[Artifact]` are made several times: `configs -> {part: {stage:
            config}}`, from the typed configs of all stages, gives the configs that each part has instead. The stages of
            a part that depend on none of these are made once for all parts. The parts' stages run in the order of the
            chain, each for all parts; a part's artifact has the key that a run with these configs would give it. The
            function gets the parts' artifacts in their order.

    The fact `failures` is a list of texts, each a part of the work that could not be done while the rest was kept: the
    command prints them at its end, and its exit code is 2.

    Raises:
        TypeError: the signature is not that of a stage.
    """

    def declare(function: Callable[..., Facts]) -> Stage:
        return replace(
            _declaration(function, cache, dict(optional or {}), follows, repeats),
            resume=resume,
            resolve=resolve,
            schemas={} if schemas is None else schemas,  # as it is: plug-ins may add to it later
            choices=choices,
            follows=follows,
            by_key=by_key,
            memo_without=memo_without,
            undigested=undigested,
            shown=shown,
            gate=gate,
        )

    return declare


def _declaration(
    function: Callable[..., Facts],
    cache: bool,
    optional: dict[str, Predicate],
    follows: tuple[str, ...],
    repeats: Repeats | None,
) -> Stage:
    """Read a stage's name, config and inputs from its function."""
    name = function.__name__
    hints = typing.get_type_hints(function)
    parameters = list(inspect.signature(function).parameters.values())
    if [parameter.name for parameter in parameters[:2]] != ["config", "out"]:
        raise TypeError(f"stage {name} must take (config, out, *, inputs ...), not {inspect.signature(function)}")
    if not is_dataclass(hints.get("config")) or hints.get("out") is not Path:
        raise TypeError(f"stage {name}: config must be a dataclass and out a Path")
    inputs, required, several, given = [], set(), set(), set()
    for parameter in parameters[2:]:
        hint = hints.get(parameter.name)
        if parameter.kind is not parameter.KEYWORD_ONLY:
            raise TypeError(f"stage {name}: input {parameter.name} must be keyword-only")
        if parameter.name in GIVEN and hint is GIVEN[parameter.name]:
            given.add(parameter.name)
        elif hint == Sequence[Artifact]:
            inputs.append(parameter.name)
            several.add(parameter.name)
        elif hint is Artifact or _is_optional_artifact(hint):
            inputs.append(parameter.name)
            if hint is Artifact:
                required.add(parameter.name)
            if not follows and _is_optional_artifact(hint) != (parameter.name in optional):
                raise TypeError(f"stage {name}: {parameter.name} is `Artifact | None` if and only if optional names it")
        else:
            raise TypeError(f"stage {name}: {parameter.name} is annotated {hint}, not Artifact")
    if set(optional) - set(inputs):
        raise TypeError(f"stage {name}: optional names {sorted(set(optional) - set(inputs))}, which it does not take")
    if follows and (cache or optional):
        raise TypeError(f"stage {name} follows others: declare it with cache=False and without `optional`")
    if bool(several) != (repeats is not None) or (several and follows):
        raise TypeError(f"stage {name}: it has inputs `Sequence[Artifact]` if and only if `repeats` names its parts")
    if "run" in given and cache:
        raise TypeError(f"stage {name} takes the run's record, which no key covers: declare it with cache=False")
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
        repeats=repeats,
        several=frozenset(several),
    )


def _is_optional_artifact(hint: Any) -> bool:
    return isinstance(hint, types.UnionType) and set(hint.__args__) == {Artifact, type(None)}


def untracked(default: Any, *, former: tuple[str, ...] = ()) -> Any:
    """Declare a config field that stays out of the key: it affects how the work is done, never the result."""
    return _marked(default, untracked=True, **({"former": former} if former else {}))


def renamed(default: Any, *former: str) -> Any:
    """Declare a config field that had other names in earlier versions: using one is an error with the present name."""
    return _marked(default, former=former)


def former_names(item: Field[Any]) -> tuple[str, ...]:
    """Return the names of a config field in earlier versions."""
    names: tuple[str, ...] = item.metadata.get("former", ())
    return names


def external(default: Any, more: Callable[[Any], Iterable[Path]] | None = None) -> Any:
    """Declare a config field with a path that enters the key by the content of the files, not by its name.

    A folder counts by its files' relative paths and bytes; hidden files (a leading dot) do not count. If a file refers
    to others, `more(config)` lists them, and their bytes count too.
    """
    return _marked(default, external=True, more=more)


def _marked(default: Any, **metadata: Any) -> Any:
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    if isinstance(default, type):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)
