"""What was measured of each exported format, apart from how fast it was: times are no part of what an artifact is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slimline.pipeline.artifact import LOGS, write_json

FILE = "formats.json"


def write_formats(
    folder: Path, measured: Mapping[str, Mapping[str, Any]], timings: Mapping[str, Mapping[str, float]]
) -> None:
    """Write what is the same whenever it is measured, and beside the logs what isn't, each by format."""
    (folder / LOGS).mkdir(exist_ok=True)
    write_json(folder / FILE, measured)
    write_json(folder / LOGS / FILE, timings)


def read_formats(folder: Path) -> dict[str, dict[str, Any]]:
    """Read by format: file, size_mb, top1, flips, checked, latency_seconds, latency_p95_seconds, images_per_second."""
    measured, timings = (json.loads(path.read_text(encoding="utf-8")) for path in (folder / FILE, folder / LOGS / FILE))
    return {name: {**row, **timings[name]} for name, row in measured.items()}
