"""Distributions as pip installs them: a package, and next to it the folder with its metadata."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent


def install(
    site: Path,
    name: str,
    groups: Mapping[str, Mapping[str, str]],
    files: Mapping[str, str],
    version: str = "1.0",
) -> Path:
    """Write a distribution's files, and the entry points of each group, into a folder of sys.path."""
    for path, text in files.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_text(dedent(text), encoding="utf-8")
    about = site / f"{name.replace('-', '_')}-{version}.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
    lines = [line for group, entries in groups.items() for line in (f"[{group}]", *map(" = ".join, entries.items()))]
    (about / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
    packages = sorted({path.partition("/")[0] for path in files})
    (about / "top_level.txt").write_text("\n".join(packages), encoding="utf-8")
    return about
