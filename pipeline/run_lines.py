"""The lines that a run prints: one for each stage, then what it produced and where the files are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from slimline.pipeline.artifact import HEADLINE, LOGS, RECORD, Facts
from slimline.pipeline.config_files import shown
from slimline.pipeline.run import PART, Run

WIDTH = 100
NAMES = 10
MOST_CHARACTERS = 24
ABOUT_THE_RUN = {"config.yaml", "overrides.json", "environment.json", "manifest.json"}


def stage_line(
    name: str,
    state: str,
    key: str,
    seconds: float,
    facts: Facts,
    most_wanted: Sequence[str] = (),
    names: int = NAMES,
) -> str:
    """Return one line of at most 100 characters: the stage, what happened, its key, its time and facts.

    `most_wanted` names the facts to show, in their order; if it is empty, all facts are candidates. Those that do not
    fit are left out: the manifest holds all of them. `names` is the width of the column of names.
    """
    line = f"{name:<{names}}{state:<6}  {key[:12]:<12}  {seconds:6.1f} s"
    separator = "  "
    for fact in most_wanted or facts:
        value = facts.get(fact)
        if fact == HEADLINE or not isinstance(value, (int, float, str)):
            continue
        item = f"{separator}{fact} {_number(value)}"
        if len(line) + len(item) > WIDTH:
            break
        line, separator = line + item, ", "
    return line.rstrip()


def _number(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return value if len(value) <= MOST_CHARACTERS else f"{value[:12]}…"
    return f"{value:z,.4g}" if isinstance(value, float) else f"{value:,}"


def headlines(run: Run) -> Iterator[str]:
    """Yield each stage's sentence for the summary; those of parts are left out, as their stage sums them up."""
    for name, entry in run.manifest["stages"].items():
        if PART not in entry and (headline := entry["facts"].get(HEADLINE)):
            linked = run.path / "artifacts" / name
            yield headline.replace("{path}", shown(linked if linked.is_symlink() else run.path))


def files_made(run: Run, targets: Sequence[str]) -> Iterator[str]:
    """Yield the files for the user by folder: the run's own files, and those of each target's artifact."""
    own = [path for path in run.path.iterdir() if path.is_file() and not path.name.startswith(".")]
    made = [path.name for path in own if path.name not in ABOUT_THE_RUN and path.stat().st_size > len("{}\n")]
    folders: dict[Path, list[str]] = {run.path: made}
    for target in targets:
        if (artifact := run.path / "artifacts" / target).is_dir():
            entries = (path for path in artifact.iterdir() if path.name not in (RECORD, LOGS))
            folders[artifact] = [f"{path.name}/" if path.is_dir() else path.name for path in entries]
    for folder, names in folders.items():
        if names:
            yield from _wrapped(f"{shown(folder)}/", sorted(names))


def _wrapped(folder: str, names: Sequence[str]) -> Iterator[str]:
    line = f"  {folder}:"
    for number, name in enumerate(names):
        item = f" {name}" + ("," if number < len(names) - 1 else "")
        if number and len(line) + len(item) > WIDTH:
            yield line
            line = "   "
        line += item
    yield line
