"""The environment of a run: the command, Slimline's version and commit, plug-ins, installed versions, the machine."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

from slimline import __version__
from slimline.pipeline.plugins import GROUPS

CHECKOUT = ("conf", "pipeline", "slimline")
"""Folders at the top of a checkout. An installed copy has only the last of them next to its other packages."""


def describe_environment() -> dict[str, Any]:
    """Return the environment of a run, as JSON values by name."""
    installed = list(distributions())
    return {
        "command": [sys.executable, *sys.orig_argv[1:]],
        "working_directory": os.getcwd(),
        "slimline": __version__,
        "git": git_state(),
        "plugins": _versions(found for found in installed if _is_plugin(found)),
        "python": sys.version,
        "versions": _versions(installed),
        "platform": platform.platform(),
        "device": ", ".join(_gpu_names()) or "CPU",
        "cpu": _cpu_name(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
    }


def plugin_versions() -> dict[str, str]:
    """Return the version of each installed distribution that has an entry point in one of `GROUPS`."""
    return _versions(found for found in distributions() if _is_plugin(found))


def _is_plugin(distribution: Distribution) -> bool:
    return any(point.group in GROUPS for point in distribution.entry_points)


def _versions(found: Iterable[Distribution]) -> dict[str, str]:
    """Return versions by name, sorted. Of two with the same name, the first counts: Python imports it."""
    about = (one.metadata for one in reversed(list(found)))  # parsed once; `name` and `version` each parse it again
    return dict(sorted({(one["Name"] or "?"): one["Version"] for one in about}.items()))


def git_state() -> dict[str, str] | None:
    """Return the commit of Slimline's checkout and the uncommitted changes.

    None for an installed copy, whatever repository it is installed in, for a checkout inside another repository, and
    if git is not installed.
    """
    root = Path(__file__).parents[2]
    if not all((root / name).is_dir() for name in CHECKOUT):
        return None
    git = ["git", "-C", str(root)]
    answer, changes = _output([*git, "rev-parse", "--show-toplevel", "HEAD"]), _output([*git, "diff", "HEAD"])
    if answer is None or changes is None:
        return None
    top, commit = answer.splitlines()
    return {"commit": commit, "uncommitted_diff": changes} if Path(top).samefile(root) else None


def _output(command: list[str]) -> str | None:
    """Run a program and return its output, or None if it does not exist or fails."""
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
