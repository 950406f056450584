"""Benchmarks of ingest: its speed, its resuming, the stability of its splits, and its memory.

    python benchmarks/ingest.py rate ../shared/data/flower_photos       ingest compared with decoding alone
    python benchmarks/ingest.py reading ../shared/data/flower_photos    shards compared with files, warm and cold
    python benchmarks/ingest.py kills ../shared/data/flower_photos      20 kills, and equal bytes at the end
    python benchmarks/ingest.py stability ../shared/data/flower_photos  a fifth more photos, a renamed folder
    python benchmarks/ingest.py store_px ../shared/data/flower_photos   photos scaled down at ingest: size and accuracy
    python benchmarks/ingest.py million 1000000                         peak memory for this number of small images

Each subcommand compares within one run. Run it on an idle machine.
"""

from __future__ import annotations

import hashlib
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
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
REPEATS = 5
COPIES = 4
"""Copies of each photo for `reading`: enough that the start-up time is negligible."""
RATIO = 8
"""Scale ratio at which ingest decodes the flowers: the shorter side of each is 128 px or more."""


@contextmanager
def scratch() -> Iterator[Path]:
    """Yield a temporary folder next to the runs, on disk and not in memory."""
    with tempfile.TemporaryDirectory(dir=ROOT / "runs") as name:
        yield Path(name)


def rate(folder: Path) -> None:
    """Compare ingest with reading and decoding alone: same files, decoder, groups and threads, interleaved."""
    from slimline.stages.backend.tensorflow import tf
    from slimline.stages.data.checking.checks import decode_small
    from slimline.stages.data.checking.survey import GROUP
    from slimline.stages.data.config import IngestConfig, settle_source
    from slimline.stages.data.sources.photo import read_bytes
    from slimline.stages.images.parallel import in_parallel
    from slimline.stages.ingest import ingest

    config = settle_source(IngestConfig(images=str(folder), seed=0), False)
    photos = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    groups = [photos[start : start + GROUP] for start in range(0, len(photos), GROUP)]

    def decode(group: list[Path]) -> int:
        return len(decode_small([read_bytes(os.fspath(path)) for path in group], RATIO))

    def decode_whole(group: list[Path]) -> int:
        return len([tf.io.decode_jpeg(read_bytes(os.fspath(path)), channels=3) for path in group])

    found: dict[str, list[float]] = {"ingest": [], "decoding as ingest does": [], "decoding every pixel": []}
    for _ in range(REPEATS + 1):
        for name, work in (("decoding as ingest does", decode), ("decoding every pixel", decode_whole)):
            start = time.perf_counter()
            list(in_parallel(work, groups, 0))
            found[name].append(len(photos) / (time.perf_counter() - start))
        with scratch() as out:
            found["ingest"].append(ingest(config, out)["photos_per_second"])
    for name, rates in found.items():
        ratio = statistics.median(one / other for one, other in zip(found["ingest"][1:], rates[1:], strict=True))
        print(f"{name}: {statistics.median(rates[1:]):,.0f}/s; ingest is {ratio:.0%} of that")


def drop(paths: list[Path]) -> None:
    """Drop files from the page cache."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def reading(folder: Path) -> None:
    """Compare reading the training shards with reading the same photos' files, in shuffled order."""
    import pyarrow.parquet as pq

    from slimline.stages.backend.tensorflow import tf
    from slimline.stages.data.config import IngestConfig, settle_source
    from slimline.stages.data.storing.records import READ_BATCH, read_batches, shard_paths
    from slimline.stages.ingest import ingest

    with scratch() as base:
        photos, out = base / "photos", base / "shards"
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            for number in range(COPIES):
                target = photos / path.parent.name / f"{number} {path.name}"
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(path.read_bytes() + bytes([number]))  # different bytes: another photo
        out.mkdir()
        ingest(settle_source(IngestConfig(images=str(photos), twin_bits=None, seed=0), False), out)
        rows = pq.read_table(out / "index.parquet", columns=["path"], filters=[("split", "=", "train")]).to_pylist()
        files = [photos / row["path"] for row in rows]
        random.Random(0).shuffle(files)
        shards = shard_paths(out, "train")

        def pixels(encoded: Any) -> Any:
            return tf.reduce_sum(tf.cast(tf.io.decode_jpeg(encoded, channels=3), tf.int32))

        def from_files(decoding: bool) -> Any:
            names = tf.data.Dataset.from_tensor_slices([str(path) for path in files])
            each = (lambda name: pixels(tf.io.read_file(name))) if decoding else tf.io.read_file
            return names.map(each, num_parallel_calls=os.cpu_count()).batch(READ_BATCH)

        def from_shards(decoding: bool) -> Any:
            batches = read_batches(out, "train", ("encoded", "label"))
            encoded = batches.map(lambda batch: batch["encoded"])
            if not decoding:
                return encoded
            return encoded.unbatch().map(pixels, num_parallel_calls=os.cpu_count()).batch(READ_BATCH)

        def consume(dataset: Any) -> int:
            options = tf.data.Options()
            options.autotune.enabled = False
            return int(dataset.with_options(options).reduce(0, lambda count, batch: count + tf.shape(batch)[0]))

        for decoding in (False, True):
            for cold in (True, False):
                found: dict[str, list[float]] = {"files": [], "shards": []}
                for _ in range(REPEATS):
                    for name, paths, make in (("files", files, from_files), ("shards", shards, from_shards)):
                        dataset = make(decoding)
                        if cold:
                            drop(paths)
                        start = time.perf_counter()
                        count = consume(dataset)
                        found[name].append(count / (time.perf_counter() - start))
                files_rate, shards_rate = (statistics.median(found[name]) for name in ("files", "shards"))
                print(
                    f"{'cold' if cold else 'warm'}, {'decoding' if decoding else 'not decoding'}:"
                    f" files {files_rate:,.0f}/s, shards {shards_rate:,.0f}/s, {shards_rate / files_rate:.1f} times"
                )


def run(folder: Path, *arguments: str, wait: bool = True) -> subprocess.Popen[bytes]:
    """Start the command line in a folder."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pipeline", "+experiment=flowers", *arguments]
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    if wait and process.wait() != 0:
        raise SystemExit(f"{command} failed")
    return process


def shards_of(folder: Path) -> dict[str, str]:
    """Return the digest of each shard, and of the index, of a folder's one ingest artifact."""
    [artifact] = folder.glob("runs/store/ingest/*/1")
    names = [*artifact.glob("*.tfrecord"), artifact / "index.parquet"]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in names}


def kills(folder: Path) -> None:
    """Kill ingest at 20 random moments, then let it finish; compare the bytes with those of an uninterrupted run."""
    draw = random.Random(0)
    arguments = [f'ingest.images="{folder.resolve()}"', "run.targets=[ingest]"]
    with scratch() as whole, scratch() as broken:
        start = time.perf_counter()
        run(whole, *arguments)
        seconds = time.perf_counter() - start
        for number in range(20):
            process = run(broken, *arguments, wait=False)
            time.sleep(draw.uniform(0.3, 0.95) * seconds)
            process.send_signal(signal.SIGKILL)
            process.wait()
            chunks = len(list(broken.glob("runs/store/ingest/*/partial/scratch/rows-*")))
            shards = len(list(broken.glob("runs/store/ingest/*/partial/*.tfrecord")))
            print(f"kill {number + 1}: {chunks} chunks and {shards} shards were complete")
            if list(broken.glob("runs/store/ingest/*/1")):
                shutil.rmtree(broken / "runs")
        run(broken, *arguments)
        same = shards_of(whole) == shards_of(broken)
        print(f"after 20 kills: {'identical' if same else 'DIFFERENT'} ({len(shards_of(whole))} files)")


def splits_of(folder: Path) -> dict[str, tuple[str, bool]]:
    """Return each used photo's split and whether it is provisional, by sha256."""
    import pyarrow.parquet as pq

    [artifact] = folder.glob("runs/store/ingest/*/1")
    rows = pq.read_table(artifact / "index.parquet", columns=["sha256", "split", "provisional", "outcome"]).to_pylist()
    return {row["sha256"]: (row["split"], row["provisional"]) for row in rows if row["outcome"] == "used"}


def stability(folder: Path) -> None:
    """Ingest five sixths of the photos, then all, then all from a renamed folder; print how many changed splits."""
    photos = sorted(path for path in folder.rglob("*") if path.is_file())
    with scratch() as base:
        for number, path in enumerate(photos):
            for name in ("all", *(["most"] if number % 6 else [])):
                target = base / name / path.relative_to(folder)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target)
        found = {}
        for name in ("most", "all"):
            (base / f"run-{name}").mkdir()
            run(base / f"run-{name}", f'ingest.images="{base / name}"', "run.targets=[ingest]")
            found[name] = splits_of(base / f"run-{name}")
        (base / "all").rename(base / "renamed")
        (base / "run-renamed").mkdir()
        run(base / "run-renamed", f'ingest.images="{base / "renamed"}"', "run.targets=[ingest]")
        both = found["most"].keys() & found["all"].keys()
        moved = [sha for sha in both if found["most"][sha][0] != found["all"][sha][0] and not found["most"][sha][1]]
        excluded = len(found["most"].keys() - found["all"].keys())
        print(f"{len(found['all']) - len(found['most'])} photos added to {len(found['most'])}: {len(moved)} moved")
        print(f"excluded after that, because they look like an added test photo: {excluded}")
        print(f"folder renamed: {'none moved' if splits_of(base / 'run-renamed') == found['all'] else 'SOME MOVED'}")


def store_px(folder: Path) -> None:
    """Measure the size and the accuracy with and without scaling the photos down at ingest."""
    for px in ("null", "256"):
        accuracies, sizes = [], []
        with scratch() as base:
            for salt in ("", "1", "2"):
                run(base, f'ingest.images="{folder.resolve()}"', f"ingest.store_px={px}", f'ingest.split.salt="{salt}"')
                metrics = json.loads((base / "runs/flowers/latest/metrics.json").read_text(encoding="utf-8"))
                accuracies.append(metrics["top1"])
                shards = (base / "runs/flowers/latest/artifacts/ingest").glob("*.tfrecord")
                sizes.append(sum(path.stat().st_size for path in shards) / 1e6)
        print(f"store_px={px}: {statistics.mean(sizes):.1f} MB, test top-1 {statistics.mean(accuracies):.4f}")


def million(count: int) -> None:
    """Ingest `count` small images, which are kept for the next time, and print the process's peak memory."""
    photos = ROOT / "runs" / f"small-images-{count}"
    if not photos.exists():
        make_images(photos, count)
    with scratch() as base:
        start = time.perf_counter()
        run(base, f'ingest.images="{photos}"', "run.targets=[ingest]")
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
        rows = json.loads((base / "runs/flowers/latest/manifest.json").read_text(encoding="utf-8"))["stages"]["ingest"]
        print(f"{count:,} images in {seconds:,.0f} s, peak memory {peak:.2f} GB; {rows['facts']}")


def make_images(photos: Path, count: int) -> None:
    """Write `count` JPEGs of blurred noise, 32 by 32 pixels, in ten classes."""
    from PIL import Image

    unfinished = photos.with_name(f"{photos.name}.unfinished")
    draw = random.Random(0)
    for number in range(count):
        folder = unfinished / f"class {number % 10}" / f"{number // 10_000:04d}"
        if number % 10_000 < 10:
            folder.mkdir(parents=True, exist_ok=True)
        noise = Image.frombytes("L", (16, 16), draw.randbytes(256))
        noise.resize((32, 32), Image.Resampling.BICUBIC).convert("RGB").save(folder / f"{number:07d}.jpg", quality=75)
    unfinished.rename(photos)


if __name__ == "__main__":
    what, argument = sys.argv[1:]
    work: dict[str, Callable[[Any], None]] = {
        function.__name__: function for function in (rate, reading, kills, stability, store_px)
    }
    million(int(argument)) if what == "million" else work[what](Path(argument))
