"""Keys: one sha256 of everything that decides a stage's output."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, NamedTuple

from slimline.pipeline.artifact import Artifact, canonical_json, digest_text
from slimline.pipeline.code import Code, CodeReader
from slimline.pipeline.content import ContentDigests
from slimline.pipeline.stage import Inputs, Stage

STORE_FORMAT = 2
KEY_LENGTH = 32


def key_parts(
    stage: Stage,
    config: Any,
    inputs: Mapping[str, Artifact],
    code: Code,
    contents: ContentDigests,
) -> dict[str, Any]:
    """Collect everything that decides a stage's output, as JSON values by name."""
    return {
        "format": STORE_FORMAT,
        "stage": stage.name,
        "config": tracked(config, contents),
        "code": dict(code.digests),
        "inputs": {name: artifact.digest for name, artifact in inputs.items()}
        | {f"{name}, by key": inputs[name].key for name in stage.by_key if name in inputs},
        "versions": dict(code.versions),
    }


def given_artifacts(inputs: Mapping[str, Inputs]) -> dict[str, Artifact]:
    """Return the artifacts that a stage gets, by the input's name; those of its parts are counted from 0."""
    found: dict[str, Artifact] = {}
    for name, given in inputs.items():
        if isinstance(given, Artifact):
            found[name] = given
        elif given is not None:
            found |= {f"{name} {number}": one for number, one in enumerate(given)}
    return found


def settled_choices(stage: Stage, config: Any, inputs: Mapping[str, Artifact]) -> dict[str, list[str]]:
    """Return the table entries that were chosen by the config and for the stage's inputs, by the table's module.

    They enter a key through the code digests, if the stage reaches the table.
    """
    found: dict[str, set[str]] = {}
    own = stage.choices(config) if stage.choices else {}
    for choices in (own, *(artifact.choices for artifact in inputs.values())):
        for table, modules in choices.items():
            found.setdefault(table, set()).update(modules)
    return {table: sorted(modules) for table, modules in sorted(found.items())}


class Keyed(NamedTuple):
    """The key of a stage's artifact, with what it was made from."""

    key: str
    parts: dict[str, Any]
    choices: dict[str, list[str]]
    code: Code


def find_key(
    stage: Stage, config: Any, inputs: Mapping[str, Inputs], reader: CodeReader, contents: ContentDigests
) -> Keyed:
    """Return the key of a stage's artifact for its config and its inputs, all of which exist."""
    present = given_artifacts(inputs)
    choices = settled_choices(stage, config, present)
    code = reader.read(stage, choices)
    parts = key_parts(stage, config, present, code, contents)
    return Keyed(make_key(parts), parts, choices, code)


def make_key(parts: Mapping[str, Any]) -> str:
    """Return the key: the first 32 hex digits of the sha256 of the parts' canonical JSON."""
    return digest_text(canonical_json(parts))[:KEY_LENGTH]


def tracked(config: Any, contents: ContentDigests) -> Any:
    """Return a config as JSON values, with its type's name, without untracked fields, external paths by content."""
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
