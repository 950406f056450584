"""The folder of a sweep, `runs/NAME/sweeps/s003`: what was asked, the journal, and who is working on it."""

from __future__ import annotations

import json
import logging
import os
import re
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from slimline.pipeline.artifact import write_json
from slimline.pipeline.errors import UserError
from slimline.pipeline.run import claim_version
from slimline.pipeline.sweeping.journal import Journal
from slimline.pipeline.text_table import cut

log = logging.getLogger(__name__)

SWEEPS = "sweeps"
NUMBERED = re.compile(r"s(\d{3,})$")
RECORD = "sweep.json"
JOURNAL = "journal.log"
STALE = f"{JOURNAL}.lock"
RUNNING, COMPLETED = "running", "completed"
FORMAT = 1
MOST_LISTED = 8
LONGEST_VALUE = 80


class SweepFolder:
    """A numbered folder of one sweep. Any number of processes on any number of machines may work in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = FileLock(path / ".lock")
        self.ending = FileLock(path / ".ending")
        self.journal = Journal(path / JOURNAL, self.lock)

    @property
    def name(self) -> str:
        """The sweep's name, such as s003."""
        return self.path.name

    @property
    def about(self) -> dict[str, Any]:
        """The content of sweep.json.

        Raises:
            UserError: the file is damaged, or a later version of Slimline wrote it.
        """
        path = self.path / RECORD
        try:
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            later = found["format"] > FORMAT
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{path} is damaged ({type(error).__name__}: {error}).",
                "Restore it, or move its folder away: run.sweep.new=true begins another sweep.",
            ) from error
        if later:
            raise UserError(f"{path} was written by a later version of Slimline.", "Install that version.")
        return found

    def note(self, **about: Any) -> None:
        """Change some values of sweep.json."""
        with self.lock:
            before = self.about if (self.path / RECORD).is_file() else {"format": FORMAT, "status": RUNNING}
            write_json(self.path / RECORD, {**before, **about})

    @staticmethod
    def beginning(parent: Path) -> FileLock:
        """Return the lock under which a sweep is found or begun, so that processes that start together share one."""
        (parent / SWEEPS).mkdir(parents=True, exist_ok=True)
        return FileLock(parent / SWEEPS / ".lock")

    @contextmanager
    def owned(self, join: bool) -> Iterator[bool]:
        """Hold the sweep for this process inside the block; with `join` others may hold it. Yield whether it is held.

        Raises:
            UserError: another process holds the sweep, and `join` is false.
        """
        owner = FileLock(self.path / ".owner")
        try:
            owner.acquire(timeout=0)
        except Timeout:
            if not join:
                raise UserError(
                    f"The sweep {self.name} is being run by another process ({self.about.get('by')}).",
                    "Wait until it ends, add run.sweep.join=true to work on it too, or run.sweep.new=true for another.",
                ) from None
            yield False
            return
        try:
            self.note(by=this_process())
            yield True
        finally:
            owner.release()

    def recover(self) -> None:
        """Remove what a killed process may have left. To be called while no other process can append."""
        self.journal.repair()
        if (stale := self.path / STALE).exists() or stale.is_symlink():
            stale.unlink()
            log.info("%s: removed the stale lock %s", self.name, STALE)

    @contextmanager
    def claim(self, number: int) -> Iterator[bool]:
        """Try to claim a number's work; yield whether it is this process's now. A killed process loses its claim."""
        folder = self.path / ".claims"
        folder.mkdir(exist_ok=True)
        lock = FileLock(folder / f"{number:05d}")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            with suppress(FileNotFoundError):
                (folder / f"{number:05d}").unlink()
            lock.release()

    def clear_claims(self) -> None:
        """Remove the folder of claims once all work is done."""
        folder = self.path / ".claims"
        for path in folder.iterdir() if folder.is_dir() else ():
            path.unlink(missing_ok=True)
        with suppress(OSError):
            folder.rmdir()


def existing_sweeps(parent: Path) -> list[SweepFolder]:
    """Return the sweeps of an experiment's folder of runs, the newest first."""
    folder = parent / SWEEPS
    found = [path for path in folder.iterdir() if NUMBERED.fullmatch(path.name)] if folder.is_dir() else []
    return [SweepFolder(path) for path in sorted(found, key=lambda path: int(path.name[1:]), reverse=True)]


def new_sweep(parent: Path) -> SweepFolder:
    """Claim the next number below an experiment's folder of runs."""
    return SweepFolder(claim_version(parent / SWEEPS, "s"))


def find_sweep(parent: Path, digest: str, wanted: str | None, asked: Mapping[str, Any]) -> SweepFolder | None:
    """Return the newest sweep that was asked the same, or the one named `wanted`.

    Raises:
        UserError: the sweep does not exist, or it was asked something else.
    """
    known = [one for one in existing_sweeps(parent) if (one.path / RECORD).is_file()]
    if wanted is None:
        return next((one for one in known if _was_asked(one, digest)), None)
    found = next((one for one in known if one.name == wanted), None)
    if found is None:
        names = ", ".join(one.name for one in known[:MOST_LISTED]) or "none"
        more = f" and {len(known) - MOST_LISTED} more" if len(known) > MOST_LISTED else ""
        raise UserError(f"run.sweep.resume={wanted} does not exist in {parent / SWEEPS}.", f"There are: {names}{more}.")
    about = found.about
    if about.get("digest") != digest:
        raise UserError(
            f"run.sweep.resume={wanted}: this sweep was asked something else ({_difference(asked, about)}).",
            f"It was begun with: {shlex.join(about.get('command') or [])}",
            "Give the same settings, or leave run.sweep.resume out for a sweep of its own.",
        )
    return found


def _was_asked(folder: SweepFolder, digest: str) -> bool:
    """Whether a sweep was asked the same; a line is logged for one that cannot be read."""
    try:
        return bool(folder.about.get("digest") == digest)
    except UserError as error:
        log.warning("skipped %s: %s", folder.name, str(error).splitlines()[0])
        return False


def _difference(asked: Mapping[str, Any], about: Mapping[str, Any]) -> str:
    before = about.get("asked") or {}
    differing = [name for name in {**before, **asked} if before.get(name) != asked.get(name)]
    return "; ".join(f"{name}: {_short(before.get(name))}, now {_short(asked.get(name))}" for name in differing)


def _short(value: Any) -> str:
    return cut(json.dumps(value, ensure_ascii=False), LONGEST_VALUE)


def this_process() -> str:
    """Return a text that names this process, for a sweep's record."""
    return f"{os.uname().nodename if hasattr(os, 'uname') else 'this machine'}, process {os.getpid()}"
