"""Runs: versioned directories that hold everything about what was done."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from slimline.pipeline.artifact import Artifact, Facts, write_json, write_text

METRICS = "metrics.json"
VERSION = re.compile(r"v(\d{3,})$")


def claim_version(folder: Path) -> Path:
    """Make the next free `vNNN` in a folder and return it; two at once never get the same one."""
    folder.mkdir(parents=True, exist_ok=True)
    while True:
        taken = [int(found.group(1)) for path in folder.iterdir() if (found := VERSION.fullmatch(path.name))]
        path = folder / f"v{max(taken, default=0) + 1:03d}"
        with suppress(FileExistsError):
            path.mkdir()
            return path


def describe_environment() -> dict[str, Any]:
    """Return what a run ran on: the command, git's state, Python, installed versions, the machine."""
    gpus = _gpu_names()
    return {
        "command": [sys.executable, *sys.orig_argv[1:]],
        "working_directory": os.getcwd(),
        "git": _git_state(),
        "python": sys.version,
        "versions": dict(sorted({(found.name or "?"): found.version for found in distributions()}.items())),
        "platform": platform.platform(),
        "device": ", ".join(gpus) or "CPU",
        "cpu": _cpu_name(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
    }


def _git_state() -> dict[str, str] | None:
    git = ["git", "-C", str(Path(__file__).parent.parent)]
    commit, changes = _output([*git, "rev-parse", "HEAD"]), _output([*git, "diff", "HEAD"])
    if commit is None or changes is None:
        return None  # not a checkout, or no git on this machine
    return {"commit": commit.strip(), "uncommitted_diff": changes}


def _output(command: list[str]) -> str | None:
    """Run a program and return what it prints, or None where it isn't there or fails."""
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout


def _gpu_names() -> list[str]:
    return (_output(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]) or "").splitlines()


def _cpu_name() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


class Run:
    """One run's directory: what was asked, what ran, what came of it.

    `config.yaml`, `overrides.json`, `environment.json`; `manifest.json`, rewritten after each stage;
    `metrics.json`, what the stages' own files of that name hold, as one; `artifacts/<stage>`, relative
    links into the store.
    """

    def __init__(self, folder: Path, config_yaml: str, overrides: list[str], **about: Any) -> None:
        """Claim the next version in `folder`; `about` goes into the manifest (which point of which sweep)."""
        self.path = claim_version(folder)
        self._started = time.time()
        self._metrics: dict[str, Any] = {}
        self.manifest: dict[str, Any] = {
            "status": "running",
            "started": time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(self._started)),
            "overrides": overrides,
            **about,
            "stages": {},
        }
        write_text(self.path / "config.yaml", config_yaml)
        write_json(self.path / "overrides.json", overrides)
        write_json(self.path / "environment.json", describe_environment())
        self._write()

    def record(
        self, stage: str, *, cached: bool, seconds: float, facts: Facts, artifact: Artifact | None = None
    ) -> None:
        """Note that a stage is done, and link its artifact."""
        entry: dict[str, Any] = {"cached": cached, "seconds": round(seconds, 3), "facts": facts}
        if artifact:
            entry.update(key=artifact.key, generation=artifact.generation, digest=artifact.digest)
            entry["made_in_seconds"] = artifact.seconds
            links = self.path / "artifacts"
            links.mkdir(exist_ok=True)
            (links / stage).symlink_to(os.path.relpath(artifact.path, links))
            measured = artifact.path / METRICS
            if measured.is_file():
                self._metrics.update(json.loads(measured.read_text(encoding="utf-8")))
        self.manifest["stages"][stage] = entry
        self._write()

    def finish(self, error: str | None = None) -> None:
        """Close the manifest; a run without an error becomes its folder's `latest`."""
        self.manifest["status"] = "failed" if error else "completed"
        self.manifest["seconds"] = round(time.time() - self._started, 3)
        if error:
            self.manifest["error"] = error
        self._write()
        if not error:
            self._become_latest()

    def _become_latest(self) -> None:
        """Point `latest` here, unless a newer run has ended already."""
        latest = self.path.parent / "latest"
        newer = VERSION.fullmatch(latest.readlink().name) if latest.is_symlink() else None
        if newer and int(newer.group(1)) > int(self.path.name[1:]):
            return
        temporary = self.path.parent / f".latest.{os.getpid()}"
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(self.path.name)
        os.replace(temporary, latest)

    def _write(self) -> None:
        write_json(self.path / "manifest.json", self.manifest)
        write_json(self.path / METRICS, self._metrics)


def read_manifest(path: Path) -> Mapping[str, Any]:
    """Read a run's manifest."""
    manifest: dict[str, Any] = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    return manifest
