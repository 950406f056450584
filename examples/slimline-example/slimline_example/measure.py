"""The sharpness of photos, measured by the variance of their Laplacian.

Source: https://doi.org/10.1109/ICPR.2000.903548
"""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np

from slimline.pipeline.artifact import Facts
from slimline.stages.data.storing.records import read_batches

SPLITS = ("train", "validation", "test")


def write_sharpness(ingest: Path, out: Path, threshold: float, side_px: int) -> Facts:
    """Measure every photo in ingest's shards; return the number of photos and how many are below the threshold."""
    rows = []
    for split in SPLITS:
        for batch in read_batches(ingest, split, ["encoded", "filename"]).as_numpy_iterator():
            for encoded, name in zip(batch["encoded"], batch["filename"], strict=True):
                rows.append((measure(encoded, side_px), split, name.decode(errors="replace")))
    rows.sort()
    with (out / "sharpness.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["split", "path", "sharpness"])
        table.writerows([split, name, f"{value:.1f}"] for value, split, name in rows)
    blurred = sum(value < threshold for value, _, _ in rows)
    median = round(float(np.median([value for value, _, _ in rows])), 1)
    return {"photos": len(rows), "blurred": blurred, "median_sharpness": median}


def measure(encoded: bytes, side_px: int) -> float:
    """Return the variance of the Laplacian of a photo's grey values, scaled to `side_px` by `side_px` pixels."""
    grey = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_GRAYSCALE)
    resized = cv2.resize(grey, (side_px, side_px), interpolation=cv2.INTER_AREA)
    return float(cv2.Laplacian(resized, cv2.CV_64F).var())
