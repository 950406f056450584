"""Benchmark for the tables of the whole job: whole commands on a folder of flower photos, timed from outside.

    python benchmarks/flowers.py ../shared/data/flower_photos

Every result is the median of its runs. Run it on an idle machine.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
NO_NETWORK = dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")
REPEATS = 3
SALTS = ("", "1", "2", "3", "4")


def run(folder: Path, *arguments: str, offline: bool = False) -> float:
    """Run one command in a folder, and return its wall-clock seconds."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **(NO_NETWORK if offline else {})}
    started = time.perf_counter()
    command = [sys.executable, "-m", "pipeline", *arguments]
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def top1(folder: Path) -> float:
    """Read the test top-1 of a folder's latest run."""
    metrics = json.loads((folder / "runs/flowers/latest/metrics.json").read_text(encoding="utf-8"))
    return float(metrics["top1"])


def rate(folder: Path) -> float:
    """Read the photos per second of the latest run's ingest, without TensorFlow's import."""
    manifest = json.loads((folder / "runs/flowers/latest/manifest.json").read_text(encoding="utf-8"))
    return float(manifest["stages"]["ingest"]["facts"]["photos_per_second"])


def main() -> None:
    """Measure, and print one line per result."""
    job = ["+experiment=flowers", f'ingest.images="{Path(sys.argv[1]).resolve()}"']
    cold, rates = [], []
    for _ in range(REPEATS):
        with tempfile.TemporaryDirectory() as name:
            cold.append(run(Path(name), *job))
            rates.append(rate(Path(name)))
    print(f"cold, whole command: {statistics.median(cold):.1f} s of {[f'{value:.1f}' for value in cold]}")
    print(f"ingest: {statistics.median(rates):,.0f} photos per second")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        accuracies = []
        for salt in SALTS:
            run(folder, *job, f'ingest.split.salt="{salt}"')
            accuracies.append(top1(folder))
        print(f"test top-1 over {len(SALTS)} salts: mean {statistics.mean(accuracies):.4f} of {accuracies}")
        again = [run(folder, *job, f"train.optimizer.learning_rate=0.02{n}") for n in range(1, REPEATS + 1)]
        print(f"another learning rate: {statistics.median(again):.1f} s of {[f'{value:.1f}' for value in again]}")
        sweep = run(folder, "-m", *job, "head=linear,mlp", "train.optimizer.learning_rate=0.01,0.003")
        print(f"a sweep of four points: {sweep:.1f} s")
    drawn = []
    for _ in range(REPEATS):
        with tempfile.TemporaryDirectory() as name:
            drawn.append(run(Path(name), "+experiment=flowers", offline=True))
    print(f"no network, drawn flowers, cold: {statistics.median(drawn):.1f} s of {[f'{value:.1f}' for value in drawn]}")


if __name__ == "__main__":
    main()
