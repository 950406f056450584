"""Surveys made by hand: rows with any content, without checking photos."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from slimline.stages.data.checking import survey
from slimline.stages.data.splitting.config import SPLITS, SplitBy, SplitConfig
from slimline.stages.data.splitting.outcomes import Outcome
from slimline.stages.data.splitting.selection import Selection, select_photos

HASH = SplitConfig(by=SplitBy.hash)


def sha256(content: object) -> bytes:
    return hashlib.sha256(str(content).encode()).digest()


def survey_of(rows: Sequence[Mapping[str, Any]], root: Path = Path("nowhere")) -> survey.Survey:
    """Make a survey of rows, in chunks; `content` decides the sha256, and cells that aren't given have usual values."""
    filled = []
    for number, row in enumerate(rows):
        cells = {
            "path": f"{row.get('label')}/{number}.jpg".encode(),
            "offset": 0,
            "size": 1000,
            "skipped": False,
            "sha256": sha256(row.get("content", number)),
            "width": 40,
            "height": 30,
            "size_bytes": 1000,
            "format": "jpeg",
            "reencoded": False,
            **row,
        }
        filled.append({field.name: cells.get(field.name) for field in survey.SCHEMA})
    batches = [
        pa.RecordBatch.from_pylist(filled[start : start + survey.CHUNK], survey.SCHEMA)
        for start in range(0, len(filled), survey.CHUNK)
    ]
    return survey.Survey(batches, root)


def stored(rows: Sequence[Mapping[str, Any]], folder: Path) -> survey.Survey:
    """Make a survey of photos that can be read: the rows' `encoded` are stored in one file, one after the other."""
    placed, offset = [], 0
    with (folder / "photos.bin").open("wb") as file:
        for row in rows:
            encoded = row.get("encoded", b"")
            size = file.write(encoded)
            place = {"file": file.name.encode(), "offset": offset, "size": size, "size_bytes": size}
            placed.append({"sha256": hashlib.sha256(encoded).digest(), **place, **row})
            offset += size
    return survey_of(placed)


def photos_of(label: str, count: int, **more: Any) -> list[dict[str, Any]]:
    return [{"label": label, "content": f"{label} {number}", **more} for number in range(count)]


def select(found: survey.Survey, config: SplitConfig = HASH, twin_bits: int | None = 6, least: int = 3) -> Selection:
    return select_photos(found, config, twin_bits, least)


def outcomes(selection: Selection) -> list[str]:
    return [Outcome(outcome).name for outcome in selection.outcomes]


def split_names(selection: Selection) -> list[str | None]:
    """Name each photo's split, None where it isn't used."""
    used = selection.outcomes == Outcome.used
    return [SPLITS[split] if one else None for split, one in zip(selection.splits, used, strict=True)]


def far_hashes(count: int, seed: int = 0) -> list[int]:
    """Return random perceptual hashes, which differ from each other in 20 bits or more."""
    return [int(one) for one in np.random.default_rng(seed).integers(0, 1 << 63, count, dtype=np.uint64)]
