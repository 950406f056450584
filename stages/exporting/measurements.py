"""The measurements of each exported format. Times are stored apart: they are not part of an artifact's content."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slimline.pipeline.artifact import LOGS, write_json

FILE = "formats.json"
FORMER_NAMES = {"flips": "changed"}
"""Names of measurements in exports of earlier versions, and their present names."""


def write_formats(
    folder: Path, measured: Mapping[str, Mapping[str, Any]], timings: Mapping[str, Mapping[str, float]]
) -> None:
    """Write the reproducible measurements, and the timings into the logs, both by format."""
    (folder / LOGS).mkdir(exist_ok=True)
    write_json(folder / FILE, measured)
    write_json(folder / LOGS / FILE, timings)


def read_formats(folder: Path) -> dict[str, dict[str, Any]]:
    """Read the measurements of each format, also from exports of earlier versions.

    The measurements are file, size_mb, top1, changed, checked, latency_seconds, latency_p95_seconds and
    images_per_second.
    """
    measured, timings = (json.loads(path.read_text(encoding="utf-8")) for path in (folder / FILE, folder / LOGS / FILE))
    return {name: {**with_present_names(row), **timings[name]} for name, row in measured.items()}


def with_present_names(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the measurements of a format with those that had another name in earlier versions renamed."""
    return {FORMER_NAMES.get(name, name): value for name, value in row.items()}
