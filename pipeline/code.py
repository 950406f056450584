"""Code: which modules a stage reaches and what they say, by digests, remembered so that nothing is parsed twice."""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import json
import os
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from slimline.pipeline.artifact import canonical_json, digest_text
from slimline.pipeline.stage import Stage

PROJECT, FRAMEWORK = "slimline", "slimline.pipeline"
MEMORY_FORMAT = 1
MOST_REMEMBERED = 4096
"""Entries of the memory, each of some hundred bytes; beyond, it begins anew."""


class Parsed(NamedTuple):
    """A module's syntax tree without docstrings, as a digest, and the names that it imports, sorted."""

    digest: str
    imports: tuple[str, ...]


class Code(NamedTuple):
    """What of a stage's code is in its keys: see `code_digests` and `imported_versions`."""

    digests: dict[str, str]
    versions: dict[str, str]


def read_code(stage: Stage, memory: Path) -> Code:
    """Return a stage's code digests and versions."""
    return Code(code_digests(stage, memory), imported_versions(stage, memory))


def code_digests(stage: Stage, memory: Path) -> dict[str, str]:
    """Return a digest for each module of the stage's own top package that the stage reaches.

    Imports are followed wherever they stand, inside functions too. A digest is of the syntax tree
    without docstrings, and of the data files beside a package's `__init__`: editing a comment or a
    docstring changes nothing. What was parsed is remembered in the JSON file `memory`, by the source's bytes.
    """
    module = stage.function.__module__
    reached, _ = _reach(module, memory)
    if module not in reached:
        raise TypeError(f"stage {stage.name} has no source file that its key could hold")
    return {name: _module_digest(name, memory) for name in reached}


def imported_versions(stage: Stage, memory: Path) -> dict[str, str]:
    """Return the version of each installed distribution that the stage's code imports, by its name."""
    _, imports = _reach(stage.function.__module__, memory)
    distributions = _distributions()
    names = {name for item in imports for name in distributions.get(item, [])}
    return {name: importlib.metadata.version(name) for name in sorted(names)}


@cache
def _distributions() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


@cache
def _reach(module: str, memory: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Follow imports from a module: (modules of its own top package, top names from elsewhere)."""
    followed = {module.partition(".")[0], PROJECT}
    waiting, reached, outside = [module], set(), set()
    while waiting:
        name = waiting.pop()
        if name in reached or _is_framework(name) or _source(name) is None:
            continue
        reached.add(name)
        for imported in _parsed(name, memory).imports:
            top = imported.partition(".")[0]
            if top not in followed:
                outside.add(top)
                continue
            pieces = imported.split(".")
            waiting.extend(".".join(pieces[: length + 1]) for length in range(len(pieces)))
    _remembered(memory).keep()
    return tuple(sorted(reached)), tuple(sorted(outside))


def _is_framework(module: str) -> bool:
    return module in (PROJECT, FRAMEWORK) or module.startswith(f"{FRAMEWORK}.")


@cache
def _parsed(module: str, memory: Path) -> Parsed:
    """Parse a module, unless a module of that name and with these bytes was parsed by this Python before."""
    source = Path(_source(module) or "")
    text = source.read_bytes()
    is_package = source.name == "__init__.py"
    parts = [MEMORY_FORMAT, sys.version, module, is_package, hashlib.sha256(text).hexdigest()]
    known, key = _remembered(memory), digest_text(canonical_json(parts))
    if (found := known.get(key)) is None:
        tree = _tree(text)
        digest = hashlib.sha256(ast.dump(tree).encode()).hexdigest()
        found = Parsed(digest, tuple(sorted(_imports(tree, module, is_package))))
        known.add(key, found)
    return found


class _Remembered:
    """What was parsed, by key, in a JSON file; one that can't be read counts for nothing, and is written anew."""

    def __init__(self, path: Path) -> None:
        self._path, self._news = path, False
        self._entries: dict[str, list[Any]] = {}
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return
        if isinstance(found, dict):
            self._entries = found

    def get(self, key: str) -> Parsed | None:
        if (entry := self._entries.get(key)) is None:
            return None
        digest, imports = entry
        return Parsed(digest, tuple(imports))

    def add(self, key: str, found: Parsed) -> None:
        if len(self._entries) >= MOST_REMEMBERED:
            self._entries = {}
        self._entries[key] = [found.digest, list(found.imports)]
        self._news = True

    def keep(self) -> None:
        """Write it, if there is anything new."""
        if self._news:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}")  # other runs may write theirs
            temporary.write_text(json.dumps(self._entries), encoding="utf-8")
            os.replace(temporary, self._path)
            self._news = False


@cache
def _remembered(memory: Path) -> _Remembered:
    return _Remembered(memory)


def _imports(tree: ast.Module, module: str, is_package: bool) -> set[str]:
    """Name what a module imports; for `from a import b`, both a and a.b, as b may be a module."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = node.module or ""
            if node.level:
                base = module.split(".") if is_package else module.split(".")[:-1]
                base = base[: len(base) - node.level + 1]
                origin = ".".join([*base, *([origin] if origin else [])])
            found.add(origin)
            found.update(f"{origin}.{alias.name}" for alias in node.names)
    return found


@cache
def _source(module: str) -> str | None:
    """Find a module's file beside its top package, without importing anything on the way."""
    top, *rest = module.split(".")
    package = sys.modules.get(top)
    roots = [Path(root) for root in getattr(package, "__path__", [])]
    for root in roots:
        path = root.joinpath(*rest)
        for candidate in (path / "__init__.py", path.with_suffix(".py")):
            if candidate.is_file():
                return str(candidate)
    return None if roots else getattr(package, "__file__", None)


def _tree(text: bytes) -> ast.Module:
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            node.body = [statement for statement in node.body if not _is_docstring(statement)]
    return tree


def _is_docstring(statement: ast.stmt) -> bool:
    """Say whether a statement is a text alone, which does nothing: a docstring, of an attribute too."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


@cache
def _module_digest(module: str, memory: Path) -> str:
    digest = hashlib.sha256(_parsed(module, memory).digest.encode())
    source = Path(_source(module) or "")
    if source.name == "__init__.py":
        for path in sorted(source.parent.iterdir()):
            if path.is_file() and path.suffix not in (".py", ".pyc", ".pyi"):
                digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
