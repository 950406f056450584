"""Artifacts: immutable directories that stages produce, each with a few small facts."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Facts = dict[str, Any]
"""What a stage says of its work: JSON values, by name. A name that ends in a timing unit is a timing."""

RECORD = "artifact.json"
LOGS = "logs"
TIMINGS = ("_seconds", "_per_second")
HEADLINE = "headline"
"""A fact of this name is a sentence for the summary; `{path}` in it stands for the stage's output."""


@dataclass(frozen=True)
class Artifact:
    """A stage's committed output: its directory, the key that led to it, and what it says of itself.

    `choices` is what was chosen from tables for it and for its inputs, as references, by the table's module.
    """

    stage: str
    key: str
    generation: int
    path: Path
    digest: str
    seconds: float
    facts: Facts
    parts: dict[str, Any]
    choices: dict[str, list[str]] = field(default_factory=dict)


def digest_text(text: str) -> str:
    """Return the sha256 of a text, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def canonical_json(value: Any) -> str:
    """Write a value as JSON, the same text for the same value: sorted keys, no white space."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=True)


def digest_file(path: Path) -> str:
    """Return the sha256 of a file's bytes, in hex, at 1 to 2 GB/s with the processor's SHA instructions."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_in(folder: Path) -> Iterator[Path]:
    """Yield the regular files below a folder, sorted by their path inside it, less its own record.

    Raises:
        ValueError: there is a link; an artifact holds its content itself.
    """
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            raise ValueError(f"{path} is a link, and an artifact must hold what it needs itself")
        if path.is_file() and path != folder / RECORD:
            yield path


def content_digest(folder: Path, facts: Facts, undigested: Collection[str] = ()) -> str:
    """Return the digest of what an artifact holds: its files and facts, less logs, timings and the headline.

    The files in the top folder `logs` (TensorBoard's carry times) and facts named after a timing unit stay outside,
    so that the same result has the same digest; so do the headline and the files in `undigested`, by their relative
    paths, which are only shown.
    """
    paths = [path for path in files_in(folder) if LOGS not in path.relative_to(folder).parts[:-1][:1]]
    with ThreadPoolExecutor() as executor:
        digests = list(executor.map(digest_file, paths))
    files = {_name(path, folder): digest for path, digest in zip(paths, digests, strict=True)}
    files = {name: digest for name, digest in files.items() if name not in undigested}
    lasting = {name: value for name, value in facts.items() if name != HEADLINE and not name.endswith(TIMINGS)}
    return digest_text(canonical_json({"files": files, "facts": lasting}))


def _name(path: Path, folder: Path) -> str:
    """Name a file inside a folder; bytes that are no UTF-8 are written as escapes."""
    return os.fsencode(path.relative_to(folder)).decode("utf-8", "backslashreplace")


def seal(
    folder: Path,
    stage: str,
    key: str,
    seconds: float,
    facts: Facts,
    parts: dict[str, Any],
    undigested: Collection[str] = (),
) -> None:
    """Write the record that makes a finished directory an artifact, and put everything on the disk."""
    record = {
        "stage": stage,
        "key": key,
        "digest": content_digest(folder, facts, undigested),
        "seconds": seconds,
        "facts": facts,
        "parts": parts,
    }
    write_json(folder / RECORD, record)
    for path in (*files_in(folder), folder / RECORD):
        fsync(path)
    for path in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        fsync(path)


def read_artifact(path: Path, generation: int) -> Artifact:
    """Read a committed artifact's record."""
    record = json.loads((path / RECORD).read_text(encoding="utf-8"))
    return Artifact(path=path, generation=generation, **record)


def empty_folder(folder: Path) -> None:
    """Remove all that a folder holds."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON in one step: a reader sees the old text or the new, never half."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file in one step, through a temporary file beside it."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    fsync(temporary)
    os.replace(temporary, path)


def fsync(path: Path) -> None:
    """Put a file's or a folder's content on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
