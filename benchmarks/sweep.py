"""Benchmarks of sweeps: time, memory and disk of many points, search against a grid, kills, joining, cross-validation.

    python benchmarks/sweep.py grid FOLDER [CHECKOUT]    32 points with the winner's report, against an earlier checkout
    python benchmarks/sweep.py linear FOLDER             1,000 linear heads: time and memory
    python benchmarks/sweep.py search FOLDER             100 points of search
    python benchmarks/sweep.py better FOLDER             the best of 32 searched points against a grid of 32, five seeds
    python benchmarks/sweep.py kills FOLDER              20 kills of a grid and of a search, and equal leaderboards
    python benchmarks/sweep.py damage FOLDER             a journal without its last 20 bytes, and a stale lock
    python benchmarks/sweep.py join FOLDER               two processes at one sweep, and two workers against one
    python benchmarks/sweep.py fine_tune FOLDER          four points of fine-tuning: the lower layers are computed once
    python benchmarks/sweep.py crossval FOLDER           five-fold cross-validation
    python benchmarks/sweep.py job FOLDER [CHECKOUT]     the main job with another rate and another salt

FOLDER is a folder of photos, such as ../shared/data/flower_photos. The photos' features are computed first, and are not
in the figures. Each figure is the median of three; a CHECKOUT takes turns with this one. Run it on an idle machine.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq

ROOT = Path(__file__).parent.parent
REPEATS = 3
KILLS = 20
GRID = [
    "head=linear,mlp",
    "train.optimizer.learning_rate=0.003,0.01,0.03,0.1",
    "train.label_smoothing=0,0.05,0.1,0.2",
]
SEARCH = [
    "head=linear,mlp",
    "train.optimizer.learning_rate=tag(log,interval(1e-3,1))",
    "train.label_smoothing=interval(0.0,0.2)",
]
TIMED = ("seconds",)
PLACES = ("artifacts", "run", "command", "overrides")


class Cost(NamedTuple):
    """What a command took: wall and processor seconds, and the largest memory of one of its processes, in GB."""

    wall: float
    processor: float
    memory_gb: float

    def __str__(self) -> str:
        return f"{self.wall:6.1f} s, {self.processor:6.1f} s of processor time, {self.memory_gb:.2f} GB"


class Bench:
    """A folder of runs in which the photos' features exist, for one checkout."""

    def __init__(self, checkout: Path, photos: Path, runs: Path) -> None:
        self.checkout, self.photos, self.runs = checkout, photos.resolve(), runs
        self.command("run.targets=[features,head]")

    def started(self, *arguments: str, experiment: str = "flowers") -> subprocess.Popen[bytes]:
        """Start a command."""
        own = [f"+experiment={experiment}", f"ingest.images={self.photos}", f"run.directory={self.runs}"]
        flags = [one for one in arguments if one == "-m"]
        rest = [one for one in arguments if one != "-m"]
        return subprocess.Popen(
            [sys.executable, "-m", "pipeline", *flags, *own, *rest],
            cwd=self.checkout,
            env={**os.environ, "PYTHONPATH": str(self.checkout)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    def command(self, *arguments: str, experiment: str = "flowers") -> Cost:
        """Run a command and return its cost."""
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        process = self.started(*arguments, experiment=experiment)
        _, errors = process.communicate()
        wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        if process.returncode != 0:
            raise SystemExit(errors.decode())
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return Cost(wall, used, after.ru_maxrss / 1e6)

    def forget(self) -> None:
        """Remove everything that a sweep has made; the photos' features stay."""
        for folder in [*self.runs.glob("*/v*"), *self.runs.glob("*/sweeps"), *self.runs.glob("*/latest")]:
            if folder.is_symlink():
                folder.unlink()
            else:
                shutil.rmtree(folder)
        for stage in ("head", "train", "stack", "evaluate", "export", "review"):
            shutil.rmtree(self.runs / "store" / stage, ignore_errors=True)

    def sweep(self, name: str = "flowers") -> Path:
        """Return the folder of the newest sweep."""
        return sorted((self.runs / name / "sweeps").glob("s*"))[-1]

    def board(self) -> list[dict[str, Any]]:
        """Return the rows of the newest sweep's leaderboard."""
        rows: list[dict[str, Any]] = pq.read_table(self.sweep() / "leaderboard.parquet").to_pylist()
        return rows


@contextmanager
def scratch() -> Iterator[Path]:
    """Yield a temporary folder next to the runs, on disk and not in memory."""
    with tempfile.TemporaryDirectory(dir=ROOT / "runs") as name:
        yield Path(name)


def median_cost(costs: list[Cost]) -> Cost:
    """Return the medians of each part."""
    return Cost(*(statistics.median(part) for part in zip(*costs, strict=True)))


def in_turns(benches: list[Bench], run: Callable[[Bench, int], Cost], repeats: int = REPEATS) -> list[Cost]:
    """Run a command for each checkout in turns; return the medians."""
    costs: list[list[Cost]] = [[] for _ in benches]
    for number in range(repeats):
        for place, bench in enumerate(benches):
            costs[place].append(run(bench, number))
            print(f"  {'this' if place == 0 else 'before'}: {costs[place][-1]}", flush=True)
    return [median_cost(one) for one in costs]


def report(title: str, costs: list[Cost]) -> None:
    """Print medians, and the ratios to the version before."""
    print(f"{title}: {costs[0]}")
    for before in costs[1:]:
        wall, used = costs[0].wall / before.wall, costs[0].processor / before.processor
        print(f"{title}, before: {before}; ratio {wall:.2f} of the time, {used:.2f} of the processor time")


def fresh(*arguments: str) -> Callable[[Bench, int], Cost]:
    """Return a function that forgets earlier sweeps and runs a command."""

    def run(bench: Bench, number: int) -> Cost:
        bench.forget()
        return bench.command(*arguments)

    return run


def disk(bench: Bench) -> str:
    """Return the bytes that a point has left behind, without the full run of the best one."""
    sweep, store = bench.sweep(), bench.runs / "store"
    files = [path for name in ("head", "train", "stack") for path in (store / name).rglob("*") if path.is_file()]
    files += [path for path in sweep.rglob("*") if path.is_file() and not path.is_symlink()]
    points = len(bench.board())
    return f"{sum(path.stat().st_size for path in files) / points / 1000:.1f} kB for each of {points} points"


def grid(benches: list[Bench]) -> None:
    """Time 32 points."""
    report("32 points", in_turns(benches, fresh("-m", *GRID)))
    benches[0].forget()
    benches[0].command("-m", *GRID, "run.sweep.keep=0")
    print("disk, together:", disk(benches[0]))
    benches[0].forget()
    benches[0].command("-m", *GRID[:2], "train.mixup=0.1", "run.sweep.keep=0")
    print("disk, alone:", disk(benches[0]))


def linear(benches: list[Bench]) -> None:
    """Time 1,000 linear heads."""
    rates = ",".join(f"{0.001 * 1.07**number:.6g}" for number in range(100))
    smoothings = ",".join(f"{0.02 * number:g}" for number in range(10))
    arguments = (f"train.optimizer.learning_rate={rates}", f"train.label_smoothing={smoothings}")
    report("1,000 linear points", in_turns(benches[:1], fresh("-m", "head=linear", *arguments)))
    print(disk(benches[0]))


def search(benches: list[Bench]) -> None:
    """Time 100 points of search."""
    report("100 points of search", in_turns(benches[:1], fresh("-m", *SEARCH, "run.sweep.points=100")))


def better(benches: list[Bench]) -> None:
    """Compare the best of 32 searched points with that of the grid, over five seeds of the search."""
    bench = benches[0]
    bench.command("-m", *GRID, "run.sweep.keep=0")
    best = bench.board()[0]
    print(f"grid: {best['score']:.4f}, loss {best['train.validation_loss']:.4f}")
    found = []
    for seed in range(5):
        bench.command("-m", *SEARCH, "run.sweep.points=32", f"run.sweep.sampler_seed={seed}", "run.sweep.keep=0")
        found.append(bench.board()[0])
        print(f"search {seed}: {found[-1]['score']:.4f}, loss {found[-1]['train.validation_loss']:.4f}", flush=True)
    top1, loss = (statistics.fmean(row[name] for row in found) for name in ("score", "train.validation_loss"))
    print(f"search, mean of {len(found)}: {top1:.4f}, loss {loss:.4f}")


def lasting(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows without times."""
    return [{name: value for name, value in row.items() if name not in TIMED} for row in rows]


def kills(benches: list[Bench]) -> None:
    """Kill a sweep at random moments until it has ended; compare its leaderboard with an undisturbed one's."""
    bench, draw = benches[0], random.Random(0)
    for name, arguments in (
        ("grid", ["head=linear,mlp", "train.optimizer.learning_rate=0.003,0.01,0.03", "train.mixup=0,0.1"]),
        ("search", [*SEARCH, "run.sweep.points=16"]),
    ):
        command = ("-m", *arguments, "run.sweep.seeds=2", "run.sweep.keep=1")
        bench.forget()
        seconds = bench.command(*command).wall
        expected = bench.board()
        bench.forget()
        killed = 0
        while killed < KILLS:
            process = bench.started(*command)
            try:
                process.wait(draw.uniform(1.5, max(seconds / 4, 4)))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                killed += 1
            process.communicate()
            if process.returncode == 0:
                print(f"  {name}: it ended after {killed} kills; again from the start", flush=True)
                assert lasting(bench.board()) == lasting(expected)
                bench.forget()
        bench.command(*command)
        same = lasting(bench.board()) == lasting(expected)
        made = [path for path in (bench.runs / "store").glob("*/*/*") if path.name.isdigit()]
        twice = [path for path in made if path.name != "1"]
        print(f"{name}: {killed} kills, leaderboards equal: {same}, artifacts made twice: {len(twice)}")


def damage(benches: list[Bench]) -> None:
    """Cut the journal of a killed sweep by 20 bytes, and leave a lock behind."""
    bench = benches[0]
    command = ("-m", *GRID, "run.sweep.keep=0")
    bench.command(*command)
    expected, sweep = bench.board(), bench.sweep()
    journal = sweep / "journal.log"
    journal.write_bytes(journal.read_bytes()[:-20])
    (sweep / "journal.log.lock").touch()
    cost = bench.command(*command)
    print(f"20 bytes less and a stale lock: {cost.wall:.1f} s, equal: {lasting(bench.board()) == lasting(expected)}")


def join(benches: list[Bench]) -> None:
    """Let two processes join one sweep, and compare two workers with one process."""
    bench = benches[0]
    command = ("-m", *GRID, "train.mixup=0.1", "run.sweep.keep=0")
    bench.forget()
    both = [bench.started(*command, "run.sweep.join=true") for _ in range(2)]
    for process in both:
        process.communicate()
    records = [json.loads(line) for line in (bench.sweep() / "journal.log").read_text().splitlines()]
    done = [number for record in records for number in record.get("done", ())]
    by = {record["by"] for record in records if "begun" in record}
    print(f"two processes: {len(done)} points done, {len(set(done))} different ones, by {len(by)} processes")
    costs: dict[int, list[Cost]] = {workers: [] for workers in (1, 2)}
    for _ in range(REPEATS):
        for workers, found in costs.items():
            bench.forget()
            found.append(bench.command(*command, f"run.sweep.workers={workers}"))
    for workers, found in costs.items():
        report(f"{workers} process{'es' * (workers > 1)}", [median_cost(found)])


def fine_tune(benches: list[Bench]) -> None:
    """Sweep four points of fine-tuning, and count the caches of the lower layers' outputs."""
    bench = benches[0]
    bench.forget()
    tuned = ("train=fine_tune", "train.epochs=2", "train/augmentation=none")
    cost = bench.command("-m", *tuned, "train.optimizer.learning_rate=0.001,0.002,0.004,0.008", "run.sweep.keep=0")
    caches = [path for path in (bench.runs / "store/train/memo").glob("*") if path.is_dir()]
    print(f"four points: {cost}; caches of the lower layers: {len(caches)}")


def crossval(benches: list[Bench]) -> None:
    """Time five-fold cross-validation."""

    def run(bench: Bench, number: int) -> Cost:
        bench.forget()
        return bench.command("ingest.split.folds=5", experiment="crossval")

    run(benches[0], 0)
    report("five folds", in_turns(benches[:1], run))
    [latest] = (benches[0].runs / "crossval").glob("latest")
    predictions = pq.read_table(latest / "artifacts/crossval/predictions.parquet", columns=["filename"])
    rows = predictions["filename"].to_pylist()
    print(f"{len(rows)} predictions of {len(set(rows))} photos")


def job(benches: list[Bench]) -> None:
    """Time the main job with another rate, and with another salt."""
    for bench in benches:
        bench.command()
    rates = in_turns(benches, lambda b, n: b.command(f"train.optimizer.learning_rate={0.011 + n / 1000}"), 5)
    report("another rate", rates)
    report("another salt", in_turns(benches, lambda b, n: b.command(f"ingest.split.salt=s{n}"), 5))


PARTS: dict[str, Callable[[list[Bench]], None]] = {
    one.__name__: one for one in (grid, linear, search, better, kills, damage, join, fine_tune, crossval, job)
}


def main(name: str, photos: str, *checkouts: str) -> None:
    with scratch() as folder:
        found = [ROOT, *(Path(one).resolve() for one in checkouts)]
        benches = [Bench(one, Path(photos), folder / str(number)) for number, one in enumerate(found)]
        PARTS[name](benches)


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in PARTS:
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
