"""Parsed modules: digests and imports of source files, cached so that no file is parsed twice."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

from slimline.pipeline.artifact import canonical_json, digest_text

MEMORY_FORMAT = 2
MOST_REMEMBERED = 4096
"""The most entries in the cache, each of some hundred bytes. When it is full, it is emptied."""


class Parsed(NamedTuple):
    """A module: its source file, a digest of its syntax tree without docstrings, and the names it imports, sorted.

    `rest` is the digest without the entries of its tables, which are the arguments of `Table(...)`. `used` are the
    names that its functions use.
    """

    source: Path
    digest: str
    rest: str
    imports: tuple[str, ...]
    used: frozenset[str]


class ParsedModules:
    """Parses modules, with a cache in a JSON file by the source's bytes and the Python version.

    A cache file that cannot be read is ignored and replaced.
    """

    def __init__(self, memory: Path) -> None:
        self._path, self._is_new = memory, False
        self._entries: dict[str, list[Any]] = {}
        try:
            found = json.loads(memory.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return
        if isinstance(found, dict):
            self._entries = found

    def read(self, module: str, source: Path) -> Parsed:
        """Parse the source file of a module of that name, or return it from the cache."""
        text = source.read_bytes()
        is_package = source.name == "__init__.py"
        parts = [MEMORY_FORMAT, sys.version, module, is_package, hashlib.sha256(text).hexdigest()]
        key = digest_text(canonical_json(parts))
        if key not in self._entries:
            tree = _tree(text)
            imports, used, digest = sorted(_imports(tree, module, is_package)), sorted(_used(tree)), _digest(tree)
            self._add(key, [digest, _digest(_without_tables(tree)), imports, used])
        digest, rest, imports, used = self._entries[key]
        return Parsed(source, digest, rest, tuple(imports), frozenset(used))

    def _add(self, key: str, entry: list[Any]) -> None:
        if len(self._entries) >= MOST_REMEMBERED:
            self._entries = {}
        self._entries[key] = entry
        self._is_new = True

    def keep(self) -> None:
        """Write the cache, if it has new entries."""
        if self._is_new:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}")  # other runs may write theirs
            temporary.write_text(json.dumps(self._entries), encoding="utf-8")
            os.replace(temporary, self._path)
            self._is_new = False


def _tree(text: bytes) -> ast.Module:
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            node.body = [statement for statement in node.body if not _is_docstring(statement)]
    return tree


def _is_docstring(statement: ast.stmt) -> bool:
    """Return whether a statement is only a string: a docstring, including those of attributes."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _digest(tree: ast.Module) -> str:
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def _without_tables(tree: ast.Module) -> ast.Module:
    """Remove the arguments of each call of `Table`, in place."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Table":
            node.args, node.keywords = [], []
    return tree


def _used(tree: ast.Module) -> set[str]:
    """Return the names that the bodies of functions use; decorators do not count."""
    functions = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    inside = [part for function in functions for statement in function.body for part in ast.walk(statement)]
    return {part.id for part in inside if isinstance(part, ast.Name)}


def _imports(tree: ast.Module, module: str, is_package: bool) -> set[str]:
    """Return the names that a module imports; for `from a import b`, both a and a.b, because b may be a module."""
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
