"""Code: the modules that decide a stage's output, and their digests."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from slimline.pipeline.artifact import canonical_json, digest_text
from slimline.pipeline.installed import packages_distributions
from slimline.pipeline.parsed import Parsed, ParsedModules
from slimline.pipeline.plugins import plugin_distributions
from slimline.pipeline.stage import Stage

PROJECT, FRAMEWORK = "slimline", "slimline.pipeline"

Choices = Mapping[str, Sequence[str]]
"""References `module:attribute` that a config chose, by the module of the table that lists them."""


class Code(NamedTuple):
    """The code part of a stage's key: a digest for each module, and a version for each distribution."""

    digests: dict[str, str]
    versions: dict[str, str]


class CodeReader:
    """Finds the modules that a stage reaches, without importing any.

    Imports are followed everywhere, also inside functions. A digest covers the syntax tree without docstrings, and
    the data files next to a package's `__init__`: comments, docstrings and layout do not change it. These do not
    count: the framework, display-only modules, the modules of the stage's `resolve` and `repeats`, and the entries of a
    table that were not chosen.
    """

    def __init__(self, memory: Path, display_only: Iterable[str] = ()) -> None:
        """Cache parsed modules in the JSON file `memory`; ignore the modules and packages in `display_only`."""
        self._parsed = ParsedModules(memory)
        self._installed = memory.with_name("installed.json")
        self._left_out = (FRAMEWORK, *display_only)
        self._read: dict[tuple[str, str, str], Code] = {}

    def read(self, stage: Stage, choices: Choices | None = None) -> Code:
        """Return the stage's code: the modules that its own module reaches, and the chosen entries of their tables.

        Raises:
            TypeError: the stage has no source file.
        """
        chosen = {table: tuple(modules) for table, modules in (choices or {}).items()}
        asked = (stage.name, stage.function.__module__, repr(sorted(chosen.items())))
        if asked not in self._read:
            reached, outside = self._reach(stage, chosen)
            if stage.function.__module__ not in reached:
                raise TypeError(f"stage {stage.name} has no source file, so its key cannot cover its code")
            self._parsed.keep()
            digests = {name: _with_data(module) for name, module in sorted(reached.items())}
            tables = {name: _as_chosen(reached[name], chosen[name]) for name in digests if name in chosen}
            self._read[asked] = Code({**digests, **tables}, _versions(outside, self._installed))
        return self._read[asked]

    def _reach(self, stage: Stage, choices: Choices) -> tuple[dict[str, Parsed], set[str]]:
        """Follow imports from the stage's module; return the modules that count, and the top names of other imports."""
        start = stage.function.__module__
        modules = {table: [one.partition(":")[0] for one in chosen] for table, chosen in choices.items()}
        followed = {_top(name) for name in (start, PROJECT, *(name for names in modules.values() for name in names))}
        waiting, reached, outside = [start], dict[str, Parsed](), set[str]()
        while waiting:
            name = waiting.pop()
            if name in reached or self._is_left_out(name) or (source := _source(name)) is None:
                continue
            reached[name] = module = self._parsed.read(name, source)
            imports = _without_settling(stage, module) if name == start else module.imports
            outside.update(_top(imported) for imported in imports if _top(imported) not in followed)
            inside = [imported for imported in imports if _top(imported) in followed]
            waiting.extend(part for one in (*inside, *modules.get(name, ())) for part in _with_packages(one))
        outside.update({_top(name) for name in reached} - {PROJECT})  # a plug-in's own version
        return reached, outside

    def _is_left_out(self, module: str) -> bool:
        return module == PROJECT or any(module == one or module.startswith(f"{one}.") for one in self._left_out)


@cache
def code_reader(memory: Path, display_only: frozenset[str]) -> CodeReader:
    """Return one reader per process: a process runs the code that it started with."""
    return CodeReader(memory, display_only)


def _without_settling(stage: Stage, start: Parsed) -> list[str]:
    """Return the imports of a stage's module without the modules of its `resolve` and `repeats`.

    Their results are in configs. Such a module still counts if it declares the stage's config, if the stage's file
    imports other names from it, or if a function in that file calls `resolve` or `repeats`.
    """
    found = list(start.imports)
    declared = {config.__module__ for config in (stage.config_type, *stage.schemas.values())}
    for settling in (stage.resolve, stage.repeats):
        if settling is None or settling.__module__ in declared or settling.__name__ in start.used:
            continue
        module = settling.__module__
        taken = {name for name in found if name.startswith(f"{module}.")}
        if taken == {f"{module}.{settling.__name__}"}:
            found = [name for name in found if name != module and name not in taken]
    return found


def _as_chosen(table: Parsed, chosen: Iterable[str]) -> str:
    """Digest a table's module by its chosen entries, and by the rest of the module's code."""
    return digest_text(canonical_json([table.rest, sorted(chosen)]))


def _with_packages(module: str) -> Iterator[str]:
    """Yield the names of a module's packages, outermost first, then its own: importing the module runs them all."""
    pieces = module.split(".")
    return (".".join(pieces[: length + 1]) for length in range(len(pieces)))


def _top(module: str) -> str:
    return module.partition(".")[0]


def _versions(imported: Iterable[str], memory: Path) -> dict[str, str]:
    """Return the version of each installed distribution that holds one of the top names."""
    distributions = _distributions(memory)
    names = {name for item in imported for name in distributions.get(item, [])}
    return {name: importlib.metadata.version(name) for name in sorted(names)}


@cache
def _distributions(memory: Path) -> Mapping[str, list[str]]:
    """Map each top package to its distributions. A plug-in's package maps to the distribution that declares it."""
    plugins = {package: [distribution] for package, distribution in plugin_distributions().items()}
    return {**packages_distributions(memory), **plugins}


def _source(module: str) -> Path | None:
    """Find a module's file below its top package, without importing anything."""
    top, *rest = module.split(".")
    package = sys.modules.get(top) or importlib.util.find_spec(top)
    roots = getattr(package, "__path__", None) or getattr(package, "submodule_search_locations", None)
    if roots is None:
        file = getattr(package, "__file__", None) or getattr(package, "origin", None)
        return Path(file) if file and not rest else None
    for root in roots:
        path = Path(root).joinpath(*rest)
        for candidate in (path / "__init__.py", path.with_suffix(".py")):
            if candidate.is_file():
                return candidate
    return None


def _with_data(module: Parsed) -> str:
    """Digest a module's code, and the data files next to a package's `__init__`."""
    digest = hashlib.sha256(module.digest.encode())
    if module.source.name == "__init__.py":
        for path in sorted(module.source.parent.iterdir()):
            if path.is_file() and path.suffix not in (".py", ".pyc", ".pyi"):
                digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
