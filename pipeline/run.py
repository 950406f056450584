"""Runs: versioned directories that record the settings, the stages that ran, and the results."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from slimline.pipeline.artifact import Artifact, Facts, write_json, write_text
from slimline.pipeline.environment import describe_environment

METRICS = "metrics.json"
PART = "part"
"""The entry in the manifest that names the part of another stage that a task was run for."""
VERSION = re.compile(r"v(\d{3,})$")
ALIVE = ".running"
"""The file in a run's directory that the process of the run holds a lock on; a killed process loses it."""
KILLED = "killed"


def claim_version(folder: Path, letter: str = "v") -> Path:
    """Create the next free `vNNN` in a folder and return it; concurrent processes never get the same one."""
    folder.mkdir(parents=True, exist_ok=True)
    numbered = re.compile(rf"{letter}(\d{{3,}})")
    while True:
        taken = [int(found.group(1)) for path in folder.iterdir() if (found := numbered.fullmatch(path.name))]
        path = folder / f"{letter}{max(taken, default=0) + 1:03d}"
        with suppress(FileExistsError):
            path.mkdir()
            return path


def point_link(path: Path, target: str) -> None:
    """Let a link point to `target`, atomically."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    os.replace(temporary, path)


class Run:
    """The directory of one run: its settings, the stages that ran, and the results.

    It holds `config.yaml`, `overrides.json` and `environment.json`; `manifest.json`, rewritten after each stage;
    `metrics.json`, which merges the stages' own files of that name, or is that of the stage that sums up its parts; and
    `artifacts/<stage>` or `artifacts/<part>/<stage>`, relative links into the store.
    """

    def __init__(self, folder: Path, config_yaml: str, overrides: list[str], **about: Any) -> None:
        """Claim the next version in `folder`; `about` goes into the manifest, for example the sweep it belongs to."""
        self.path = claim_version(folder)
        self._alive = FileLock(self.path / ALIVE)
        self._alive.acquire()
        self._started = time.time()
        self._metrics: dict[str, Any] = {}
        self._summed_up: dict[str, Any] = {}
        environment = describe_environment()
        self.manifest: dict[str, Any] = {
            "status": "running",
            "started": time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(self._started)),
            "overrides": overrides,
            **about,
            "plugins": environment["plugins"],
            "stages": {},
        }
        write_text(self.path / "config.yaml", config_yaml)
        write_json(self.path / "overrides.json", overrides)
        write_json(self.path / "environment.json", environment)
        self._write()

    def record(
        self,
        stage: str,
        *,
        cached: bool,
        seconds: float,
        facts: Facts,
        artifact: Artifact | None = None,
        part: str = "",
        sums_up: bool = False,
    ) -> None:
        """Record that a stage is done, and link its artifact.

        Of a `part`, the metrics are not those of the run; those of a stage that `sums_up` its parts replace all others.
        """
        entry: dict[str, Any] = {"cached": cached, "seconds": round(seconds, 3), "facts": facts}
        if part:
            entry[PART] = part
        if artifact:
            entry.update(key=artifact.key, generation=artifact.generation, digest=artifact.digest)
            entry["made_in_seconds"] = artifact.seconds
            links = self.path / "artifacts" / part.replace(" ", "_")
            links.mkdir(parents=True, exist_ok=True)
            (links / stage).symlink_to(os.path.relpath(artifact.path, links))
            measured = artifact.path / METRICS
            if measured.is_file() and not part:
                metrics = self._summed_up if sums_up else self._metrics
                metrics.update(json.loads(measured.read_text(encoding="utf-8")))
        self.manifest["stages"][f"{stage} {part}".rstrip()] = entry
        self._write()

    def record_gate(self, stage: str, reason: str) -> None:
        """Record that a stage's result is below what the config asks for, so that nothing builds on it."""
        self.manifest["stages"][stage]["gate"] = reason
        self._write()

    @property
    def failures(self) -> list[str]:
        """What the stages could not do while they kept the rest."""
        return failures_of(self.manifest)

    def finish(self, error: str | None = None) -> None:
        """Close the manifest; a run without an error becomes its folder's `latest`."""
        self.manifest["status"] = "failed" if error else "completed"
        self.manifest["seconds"] = round(time.time() - self._started, 3)
        if error:
            self.manifest["error"] = error
        self._write()
        (self.path / ALIVE).unlink(missing_ok=True)
        self._alive.release()
        if not error:
            self._become_latest()

    def _become_latest(self) -> None:
        """Point `latest` to this run, unless a newer run has already completed."""
        latest = self.path.parent / "latest"
        newer = VERSION.fullmatch(latest.readlink().name) if latest.is_symlink() else None
        if newer and int(newer.group(1)) > int(self.path.name[1:]):
            return
        point_link(latest, self.path.name)

    def _write(self) -> None:
        write_json(self.path / "manifest.json", self.manifest)
        write_json(self.path / METRICS, self._summed_up or self._metrics)


def failures_of(manifest: Mapping[str, Any]) -> list[str]:
    """Return the texts of the fact `failures` of all stages of a run."""
    return [text for entry in manifest["stages"].values() for text in entry["facts"].get("failures") or ()]


def run_state(path: Path, manifest: Mapping[str, Any]) -> str:
    """Return the status of a run: that of its manifest, or `killed` if its process has ended without finishing it."""
    status = str(manifest["status"])
    if status != "running" or not (path / ALIVE).is_file():
        return status
    lock = FileLock(path / ALIVE)
    try:
        lock.acquire(timeout=0)
    except (Timeout, PermissionError):  # another process holds it, or the run is another user's
        return status
    lock.release()
    return KILLED


def read_manifest(path: Path) -> Mapping[str, Any]:
    """Read a run's manifest."""
    manifest: dict[str, Any] = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    return manifest
