"""Keys: everything that decides what a stage's output is, in one sha256."""

from __future__ import annotations

import ast
import enum
import hashlib
import importlib.metadata
import sys
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.artifact import Artifact, canonical_json, digest_text
from pipeline.content import ContentDigests
from pipeline.stage import Stage

STORE_FORMAT = 1
KEY_LENGTH = 32


def key_parts(
    stage: Stage,
    config: Any,
    inputs: Mapping[str, Artifact],
    code: Mapping[str, str],
    versions: Mapping[str, str],
    contents: ContentDigests,
) -> dict[str, Any]:
    """Gather what decides a stage's output, as JSON values by name."""
    return {
        "format": STORE_FORMAT,
        "stage": stage.name,
        "config": tracked(config, contents),
        "code": dict(code),
        "inputs": {name: artifact.digest for name, artifact in inputs.items()},
        "versions": dict(versions),
    }


def make_key(parts: Mapping[str, Any]) -> str:
    """Return the key: the first 32 hex digits of the sha256 of the parts, written canonically."""
    return digest_text(canonical_json(parts))[:KEY_LENGTH]


def tracked(config: Any, contents: ContentDigests) -> Any:
    """Return a config as JSON values: its type's name, less untracked fields, external paths by content."""
    if not is_dataclass(config):
        return _plain(config, contents)
    values: dict[str, Any] = {"type": type(config).__name__}
    for item in fields(config):
        value = getattr(config, item.name)
        if item.metadata.get("external"):
            paths = value if isinstance(value, list) else [value]
            more = item.metadata["more"]
            digests = [
                None if path is None else contents.digest(Path(path), more(config) if more else ()) for path in paths
            ]
            values[item.name] = digests if isinstance(value, list) else digests[0]
        elif not item.metadata.get("untracked"):
            values[item.name] = tracked(value, contents)
    return values


def _plain(value: Any, contents: ContentDigests) -> Any:
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, dict):
        return {str(name): tracked(item, contents) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [tracked(item, contents) for item in value]
    return value


def code_digests(stage: Stage) -> dict[str, str]:
    """Return a digest for each module of the stage's own top package that the stage reaches.

    Imports are followed wherever they stand, inside functions too. A digest is of the syntax tree
    without docstrings, and of the data files beside a package's `__init__`: editing a comment or a
    docstring changes nothing.
    """
    module = stage.function.__module__
    reached, _ = _reach(module)
    if module not in reached:
        raise TypeError(f"stage {stage.name} has no source file that its key could hold")
    return {name: _module_digest(name) for name in reached}


def imported_versions(stage: Stage) -> dict[str, str]:
    """Return the version of each installed distribution that the stage's code imports, by its name."""
    _, imports = _reach(stage.function.__module__)
    distributions = _distributions()
    own = stage.function.__module__.partition(".")[0]
    names = {name for item in imports for name in distributions.get(item, []) if item not in (own, "pipeline")}
    return {name: importlib.metadata.version(name) for name in sorted(names)}


@cache
def _distributions() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


@cache
def _reach(module: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Follow imports from a module: (modules of its own top package, top names from elsewhere)."""
    own = module.partition(".")[0]
    waiting, reached, outside = [module], set(), set()
    while waiting:
        name = waiting.pop()
        if name in reached or _source(name) is None:
            continue
        reached.add(name)
        for imported in _imports(name):
            top = imported.partition(".")[0]
            if top != own:
                outside.add(top)
                continue
            pieces = imported.split(".")
            waiting.extend(".".join(pieces[: length + 1]) for length in range(len(pieces)))
    return tuple(sorted(reached)), tuple(sorted(outside))


def _imports(module: str) -> set[str]:
    """Name what a module imports; for `from a import b`, both a and a.b, as b may be a module."""
    found: set[str] = set()
    is_package = Path(_source(module) or "").name == "__init__.py"
    for node in ast.walk(_tree(module)):
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


@cache
def _tree(module: str) -> ast.Module:
    tree = ast.parse(Path(_source(module) or "").read_text(encoding="utf-8"))
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
def _module_digest(module: str) -> str:
    digest = hashlib.sha256(ast.dump(_tree(module)).encode())
    source = Path(_source(module) or "")
    if source.name == "__init__.py":
        for path in sorted(source.parent.iterdir()):
            if path.is_file() and path.suffix not in (".py", ".pyc", ".pyi"):
                digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
