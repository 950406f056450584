"""The choice of a sweep: by its folder, by its name, or by a full run of it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from slimline.pipeline.config_files import shown
from slimline.pipeline.errors import UserError
from slimline.pipeline.run import read_manifest
from slimline.stages.pages.sweep_folder import RECORD

NAME = re.compile(r"s\d{3,}")
EXAMPLE = "leaderboard.of=runs/flowers/sweeps/s003"
MOST_LISTED = 8


def find_sweep(given: str, directory: Path) -> Path:
    """Return the folder of the sweep that a user named; `directory` is the folder of the runs.

    Raises:
        UserError: it is not a sweep, several sweeps have this name, or its folder is not writable.
    """
    if not given:
        raise UserError("leaderboard.of is empty.", _known(directory.glob(f"*/sweeps/*/{RECORD}")))
    path = Path(given).expanduser()
    if NAME.fullmatch(given) and not path.exists():
        found = sorted(one.parent for one in directory.glob(f"*/sweeps/{given}/{RECORD}"))
        if len(found) > 1:
            raise UserError(
                f"leaderboard.of={given} is the name of {len(found)} sweeps.",
                f"Name one of the folders: {', '.join(shown(one) for one in found)}",
            )
        folder = found[0] if found else path
    else:
        folder = path.parent if path.is_file() else _sweep_of_run(path)
    if not (folder / RECORD).is_file():
        what = "is not a sweep: it has no sweep.json" if folder.is_dir() else "does not exist"
        raise UserError(
            f"leaderboard.of={given} {what}.", _known([*_nearby(path), *directory.glob(f"*/sweeps/*/{RECORD}")])
        )
    if not os.access(folder, os.W_OK):
        raise UserError(
            f"leaderboard.of={given}: the folder is not writable, and the page is written into it.",
            "Check its permissions, or copy the sweep's folder.",
        )
    return folder


def _sweep_of_run(path: Path) -> Path:
    """Return the sweep that a full run belongs to, or the path itself if it is not a sweep's run."""
    if (path / RECORD).is_file() or not (path / "manifest.json").is_file():
        return path
    sweep = read_manifest(path).get("sweep")
    if not isinstance(sweep, dict) or not sweep.get("of"):
        raise UserError(f"leaderboard.of={path} is a run, but not one of a sweep.", f"Name a sweep's folder: {EXAMPLE}")
    return path.resolve().parent / "sweeps" / Path(sweep["of"]).name


def _nearby(path: Path) -> list[Path]:
    """Return the records of sweeps in a folder, below it, and next to it."""
    patterns = (f"*/{RECORD}", f"sweeps/*/{RECORD}", f"*/sweeps/*/{RECORD}", f"../*/{RECORD}", f"../sweeps/*/{RECORD}")
    return [found for pattern in patterns for found in path.glob(pattern)] if path.is_dir() else []


def _known(records: Iterable[Path]) -> str:
    """Return advice that lists the sweeps that were found."""
    found = sorted({os.path.normpath(one.parent) for one in records})
    if not found:
        return f"Name a sweep's folder: {EXAMPLE}"
    more = f", and {len(found) - MOST_LISTED} more" if len(found) > MOST_LISTED else ""
    return f"These sweeps exist: {', '.join(shown(Path(one)) for one in found[:MOST_LISTED])}{more}"
