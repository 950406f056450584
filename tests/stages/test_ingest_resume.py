"""Killed ingest: it resumes where it stopped, and writes the same bytes as an undisturbed run."""

from __future__ import annotations

import io
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.slow

CHUNK = 16
RUN = f"""
import os, sys, time
from pathlib import Path
from slimline.stages.data.checking import survey
survey.CHUNK = {CHUNK}
from tests.stages.test_ingest_resume import ingest_into
replace = os.replace
def slowly(source, target):
    replace(source, target)
    time.sleep(0.1)  # so that a kill can come between any two files
os.replace = slowly
print("ready", flush=True)
ingest_into(Path(sys.argv[1]), Path(sys.argv[2]))
"""

MOMENTS = ("scratch/rows-00000[2-5].arrow", "*.tfrecord", "validation-*.tfrecord")
"""The files at whose appearance, or a little later, a run is killed."""


def ingest_into(photos: Path, out: Path) -> None:
    """Ingest with settings that leave something to resume of every kind: chunks, re-encoded photos, shards."""
    from slimline.stages.data.config import IngestConfig
    from slimline.stages.data.settle import settle_source
    from slimline.stages.ingest import ingest

    config = IngestConfig(images=str(photos), store_px=32, min_shards=6, max_bad_fraction=0.1, threads=2, seed=0)
    ingest(settle_source(config, False), out)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number in range(120):
        path = tmp_path / "photos" / ("ant" if number % 2 else "bee") / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).resize((96, 72)).save(file, "JPEG", quality=95)
        path.write_bytes(file.getvalue() if number % 40 else b"not a photo")
    return tmp_path / "photos"


def start(photos: Path, out: Path) -> subprocess.Popen[bytes]:
    root = Path(__file__).parents[2]
    process = subprocess.Popen([sys.executable, "-c", RUN, str(photos), str(out)], cwd=root, stdout=subprocess.PIPE)
    assert process.stdout
    with process.stdout:
        assert process.stdout.readline() == b"ready\n"  # the only line
    return process


def finished(out: Path) -> dict[str, tuple[int, int]]:
    """Return the inode and time of all files that a run has finished: chunks and shards."""
    found = [*out.glob("scratch/rows-*.arrow"), *out.glob("scratch/reencoded-*.bin"), *out.glob("*.tfrecord")]
    chunks = {path.stem[-6:] for path in found if path.suffix == ".arrow"}
    kept = [path for path in found if path.suffix != ".bin" or path.stem[-6:] in chunks]
    return {str(path.relative_to(out)): (path.stat().st_ino, path.stat().st_mtime_ns) for path in kept}


def kill_at(process: subprocess.Popen[bytes], out: Path, pattern: str, more_seconds: float) -> None:
    until = time.monotonic() + 60
    while not any(out.glob(pattern)) and process.poll() is None and time.monotonic() < until:
        time.sleep(0.002)
    time.sleep(more_seconds)
    assert process.poll() is None, "it ended before it could be killed"
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_a_repeatedly_killed_run_writes_the_same_as_an_undisturbed_one(photos, tmp_path, monkeypatch):
    from slimline.stages.data.checking import survey

    monkeypatch.setattr(survey, "CHUNK", CHUNK)
    (tmp_path / "calm").mkdir()
    ingest_into(photos, tmp_path / "calm")
    out = tmp_path / "out"
    out.mkdir()
    draw = random.Random()
    before: dict[str, tuple[int, int]] = {}
    for pattern in MOMENTS:
        kill_at(start(photos, out), out, pattern, draw.uniform(0, 0.1))
        now = finished(out)
        assert {name: now.get(name) for name in before} == before
        assert len(now) > len(before)
        before = now
    assert sum(name.endswith(".arrow") for name in before) == 8
    assert start(photos, out).wait() == 0
    now = finished(out)
    assert {name: now[name] for name in before if name.endswith(".tfrecord")}.items() <= before.items()
    calm = {path.name: path.read_bytes() for path in (tmp_path / "calm").iterdir()}
    assert {path.name: path.read_bytes() for path in out.iterdir()} == calm
    assert sum(name.endswith(".tfrecord") for name in calm) > 6
    assert "pictures.arrow" in calm
    assert not (out / "scratch").exists()
