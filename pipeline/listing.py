"""List the existing runs: their settings, their results and their sizes on disk."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from slimline.pipeline.config import RunConfig
from slimline.pipeline.config_files import EXPERIMENT, shown
from slimline.pipeline.config_folders import ConfigFolders
from slimline.pipeline.errors import UserError
from slimline.pipeline.run import METRICS, VERSION, read_manifest, run_state
from slimline.pipeline.text_table import text_table

DIRECTORY = "run.directory="
CHOSEN = f"+{EXPERIMENT}="
TITLES = ("run", "started", "experiment", "varied", "test top-1", "size", "artifacts", "state")
TEXTS = (0, 1, 2, 3, 7)
UNITS = ("B", "kB", "MB", "GB", "TB")
DAMAGED = (OSError, ValueError, KeyError, TypeError, AttributeError)


@dataclass(frozen=True)
class Entry:
    """One run in the list; `top1` is None if the run was not tested, sizes are in bytes."""

    path: Path
    started: datetime
    experiment: str
    overrides: list[str]
    top1: float | None
    size_bytes: int
    artifacts_bytes: int
    state: str


def list_runs(arguments: Sequence[str], folders: ConfigFolders, program: str) -> None:
    """Print a table of the runs in `run.directory`, oldest first, then the directories without a readable run.

    Raises:
        UserError: an argument is not `run.directory=...`, or that is not a directory.
    """
    for argument in arguments:
        if not argument.startswith(DIRECTORY):
            raise UserError(
                f"runs does not take the argument {argument}.",
                f"Write {program} runs, or {program} runs {DIRECTORY}PATH",
            )
    directory = Path(arguments[-1].removeprefix(DIRECTORY) if arguments else RunConfig().directory)
    if not directory.is_dir():
        raise UserError(
            f"There are no runs: {directory} is not a directory (looked for {directory.absolute()}).",
            f"Name the folder of the runs: {program} runs {DIRECTORY}PATH",
        )
    entries, damaged = read_runs(directory)
    if entries:
        print(runs_table(directory, entries))
    elif not damaged:
        print(f"There are no runs in {directory}.")
    for path, problem in damaged:
        print(f"skipped {shown(path)}: {problem}")


def read_runs(directory: Path) -> tuple[list[Entry], list[tuple[Path, str]]]:
    """Read all runs below a directory, oldest first. Also return those that cannot be read, with the reason."""
    entries, damaged = [], []
    sizes: dict[Path, int] = {}
    for path in sorted(directory.glob("*/v*")):
        if not VERSION.fullmatch(path.name) or not path.is_dir():
            continue
        if not (path / "manifest.json").is_file():
            damaged.append((path, "it has no manifest.json"))
            continue
        try:
            entries.append(_entry(path, sizes))
        except DAMAGED as error:
            damaged.append((path, f"its manifest.json is damaged ({type(error).__name__}: {error})"))
    return sorted(entries, key=lambda entry: (entry.started, entry.path)), damaged


def _entry(path: Path, sizes: dict[Path, int]) -> Entry:
    manifest = read_manifest(path)
    overrides = [str(override) for override in manifest["overrides"]]
    experiments = [one.removeprefix(CHOSEN) for one in overrides if one.startswith(CHOSEN)]
    return Entry(
        path=path,
        started=datetime.fromisoformat(manifest["started"]).astimezone(),
        experiment=", ".join(experiments),
        overrides=[one for one in overrides if not one.startswith(CHOSEN)],
        top1=_test_top1(path),
        size_bytes=_size_bytes(path),
        artifacts_bytes=sum(_artifact_bytes(link, sizes) for link in _links(path / "artifacts")),
        state=run_state(path, manifest),
    )


def _test_top1(path: Path) -> float | None:
    """Return the top-1 accuracy on the test photos, or None if they were not evaluated."""
    file = path / METRICS
    if not file.is_file():
        return None
    metrics: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return float(metrics["top1"]) if metrics.get("split") == "test" else None


def _size_bytes(path: Path) -> int:
    """Add up the sizes of the files below a directory; links do not count."""
    files = (Path(folder) / name for folder, _, names in os.walk(path) for name in names)
    return sum(file.stat().st_size for file in files if not file.is_symlink())


def _links(folder: Path) -> Iterator[Path]:
    """Yield a run's links to its artifacts, those of parts too, which are one folder deeper."""
    for path in folder.glob("*"):
        yield from [path] if path.is_symlink() else path.glob("*")


def _artifact_bytes(link: Path, sizes: dict[Path, int]) -> int:
    """Return the size of the artifact that a link refers to; it is computed once for all runs that share it."""
    artifact = link.resolve()
    if artifact not in sizes:
        sizes[artifact] = _size_bytes(artifact)
    return sizes[artifact]


def runs_table(directory: Path, entries: list[Entry]) -> str:
    """Format the runs as a table, one line each; overrides that all of them share are left out."""
    varied = without_shared([entry.overrides for entry in entries])
    rows = [
        [
            entry.path.relative_to(directory).as_posix(),
            f"{entry.started:%Y-%m-%d %H:%M}",
            entry.experiment,
            " ".join(own),
            "" if entry.top1 is None else f"{entry.top1:.1%}",
            show_bytes(entry.size_bytes),
            show_bytes(entry.artifacts_bytes),
            entry.state,
        ]
        for entry, own in zip(entries, varied, strict=True)
    ]
    return text_table(TITLES, rows, texts=TEXTS)


def without_shared(lists: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return each list without the items that all lists contain; a single list is returned unchanged."""
    shared = set[str].intersection(*map(set, lists)) if len(lists) > 1 else set[str]()
    return [[item for item in items if item not in shared] for items in lists]


def show_bytes(size: float) -> str:
    """Format a size in the unit that keeps the number below a thousand."""
    for unit in UNITS:
        if size < 999.5 or unit == UNITS[-1]:
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == UNITS[0] or size >= 99.95 else f"{size:.1f} {unit}"
