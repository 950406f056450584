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
"""Facts that a stage reports about its work: JSON values by name. A name that ends in a timing unit is a timing."""

RECORD = "artifact.json"
LOGS = "logs"
TIMINGS = ("_seconds", "_per_second")
HEADLINE = "headline"
"""The fact of this name is a sentence for the summary; `{path}` in it is replaced by the path of the stage's output."""


@dataclass(frozen=True)
class Artifact:
    """A stage's committed output: its directory, its key and its facts.

    `choices` holds the table entries that were chosen for it and for its inputs: references by the table's module.
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
    """Return a value as canonical JSON: equal values give equal texts, with sorted keys and without white space."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=True)


def digest_file(path: Path) -> str:
    """Return the sha256 of a file's bytes, in hex, at 1 to 2 GB/s with the processor's SHA instructions."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_in(folder: Path) -> Iterator[Path]:
    """Yield the regular files below a folder, sorted by relative path, without the folder's own record.

    Raises:
        ValueError: the folder contains a link; an artifact must contain its own content.
    """
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            raise ValueError(f"{path} is a link, but an artifact must contain its own content")
        if path.is_file() and path != folder / RECORD:
            yield path


def content_digest(folder: Path, facts: Facts, undigested: Collection[str] = ()) -> str:
    """Return the digest of an artifact's files and facts, without logs, timings and the headline.

    The files in the top folder `logs` (TensorBoard's contain times) and facts named after a timing unit are left out,
    so that equal results have equal digests. The headline and the files in `undigested` (relative paths) are left out
    too, because they are only displayed.
    """
    paths = [path for path in files_in(folder) if LOGS not in path.relative_to(folder).parts[:-1][:1]]
    with ThreadPoolExecutor() as executor:
        digests = list(executor.map(digest_file, paths))
    files = {_name(path, folder): digest for path, digest in zip(paths, digests, strict=True)}
    files = {name: digest for name, digest in files.items() if name not in undigested}
    lasting = {name: value for name, value in facts.items() if name != HEADLINE and not name.endswith(TIMINGS)}
    return digest_text(canonical_json({"files": files, "facts": lasting}))


def _name(path: Path, folder: Path) -> str:
    """Return a file's path inside a folder; bytes that are not valid UTF-8 are written as escapes."""
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
    """Write the record that turns a finished directory into an artifact, and flush everything to disk."""
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
    """Remove everything in a folder."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, atomically: a reader sees the old text or the new text, never a mixture."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, through a temporary file in the same folder."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        fsync(temporary)
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)  # on a full disk it would take the space that is needed
        raise


def fsync(path: Path) -> None:
    """Flush a file's or a folder's content to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
