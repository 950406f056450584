"""Benchmarks of the results: export formats, the speed of classify, and the server under load.

    python benchmarks/results.py formats ../shared/data/flower_photos     every export of a head-only run
    python benchmarks/results.py classify ../shared/data/flower_photos    compared with the features stage in float32
    python benchmarks/results.py serve ../shared/data/flower_photos       32 clients, compared with batches

Run them on an idle machine.
"""

from __future__ import annotations

import http.client
import json
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from ingest import run, scratch

CLIENTS, REQUESTS = 32, 1500
REPEATS = 3
LATEST = Path("runs/flowers/latest")


def photos_of(folder: Path) -> str:
    return f'ingest.images="{folder.resolve()}"'


def formats(folder: Path) -> None:
    """Print size, accuracy, changed predictions and speed of each format."""
    with scratch() as base:
        run(base, photos_of(folder), "export=all", "export.max_changed_int8=1")
        artifact = base / LATEST / "artifacts/export"
        found = json.loads((artifact / "formats.json").read_text(encoding="utf-8"))
        times = json.loads((artifact / "logs/formats.json").read_text(encoding="utf-8"))
        for name, row in found.items():
            one = times[name]
            print(
                f"{name}: {row['size_mb']:.1f} MB, top-1 {row['top1']:.2%},"
                f" changed {row['changed']} of {row['checked']},"
                f" {1e3 * one['latency_seconds']:.1f} ms (p95 {1e3 * one['latency_p95_seconds']:.1f}),"
                f" {one['images_per_second']:.0f} per second"
            )
        report = base / LATEST / "report.html"
        print(f"report.html: {report.stat().st_size / 1e6:.2f} MB")


def classify(folder: Path) -> None:
    """Compare the photos per second of classify, without its start, with the features stage in float32, interleaved."""
    with scratch() as base:
        run(base, photos_of(folder), "run.targets=[export]")
        classify_rates, features_rates = [], []
        for _ in range(REPEATS):
            run(base, photos_of(folder), "run.targets=[features]", "features.precision=float32", "run.force=[features]")
            manifest = json.loads((base / LATEST / "manifest.json").read_text(encoding="utf-8"))
            features_rates.append(manifest["stages"]["features"]["facts"]["images_per_second"])
            classify_rates.append(classified(base, folder))
        rate, bare = statistics.median(classify_rates), statistics.median(features_rates)
        print(
            f"classify {rate:.0f} photos per second ({classify_rates}), features {bare:.0f} ({features_rates}):"
            f" ratio {rate / bare:.2f}"
        )


def classified(base: Path, folder: Path) -> float:
    """Return the photos per second of classify over a folder; the time for one photo is subtracted as its start."""
    seconds = []
    some = next(path for path in sorted(folder.rglob("*.jpg")))
    count = sum(1 for _ in folder.rglob("*.jpg"))
    for images in (some, folder):
        began = time.perf_counter()
        arguments = [f'classify.images=["{images.resolve()}"]', f"classify.model={LATEST.parent / 'v001'}"]
        command = [sys.executable, "-m", "pipeline", "+experiment=classify", *arguments, "classify.shown=0"]
        subprocess.run(command, cwd=base, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - began)
    return (count - 1) / (seconds[1] - seconds[0])


@contextmanager
def serving(base: Path) -> Iterator[int]:
    """Start the server, and yield its port."""
    command = [sys.executable, "-u", "-m", "pipeline", "+experiment=serve", f"serve.model={LATEST}", "serve.port=0"]
    process = subprocess.Popen(command, cwd=base, stdout=subprocess.PIPE, encoding="utf-8")
    assert process.stdout
    said = ""
    for line in process.stdout:
        said += line
        if found := re.search(r"http://127\.0\.0\.1:(\d+)/", line):
            break
    else:
        raise SystemExit(said)
    try:
        yield int(found.group(1))
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)


def serve(folder: Path) -> None:
    """Load the server with 32 clients, each with its own connection; compare with batches in one process."""
    with scratch() as base:
        run(base, photos_of(folder), "run.targets=[export]")
        photos = [path.read_bytes() for path in sorted(folder.rglob("*.jpg"))[:: max(1, 2934 // REQUESTS)]]
        with serving(base) as port:
            ask(port, photos[:CLIENTS])
            began = time.perf_counter()
            seconds = ask(port, photos)
            rate = len(seconds) / (time.perf_counter() - began)
        command = [sys.executable, __file__, "batches", str(folder), str(base / LATEST)]
        batch = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])
        slowest = statistics.quantiles(seconds, n=20)[-1]
        print(
            f"{CLIENTS} clients, {len(seconds)} photos: median {statistics.median(seconds):.3f} s, p95 {slowest:.3f} s,"
            f" {rate:.0f} per second; in batches {batch:.0f} per second: ratio {rate / batch:.2f}"
        )


def ask(port: int, photos: list[bytes]) -> list[float]:
    """Let all clients classify photos without pauses; return the seconds of each answer."""

    def client(number: int) -> list[float]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        seconds = []
        for photo in photos[number::CLIENTS]:
            began = time.perf_counter()
            connection.request("POST", "/classify", photo, {"Content-Type": "image/jpeg"})
            reply = connection.getresponse()
            body = reply.read()
            if reply.status != 200:
                raise SystemExit(f"{reply.status}: {body!r}")
            seconds.append(time.perf_counter() - began)
        return seconds

    with ThreadPoolExecutor(CLIENTS) as clients:
        return [one for some in clients.map(client, range(CLIENTS)) for one in some]


def batches(folder: Path, model: Path) -> None:
    """Print the photos per second of the exported model in batches, two at once, with the server's checks."""
    sys.path.insert(0, str(Path(__file__).parent.parent))
    from slimline.stages.data.checking.input_files import input_files
    from slimline.stages.data.checking.usable_photos import usable_photos
    from slimline.stages.models.formats import find_model
    from slimline.stages.models.opened_export import open_model
    from slimline.stages.serving.scored_photos import scored_photos

    opened = open_model(find_model(str(model), "model"), 16)
    paths = sorted(folder.rglob("*.jpg"))[:: max(1, 2934 // REQUESTS)]
    list(scored_photos(opened, usable_photos(input_files(paths[:32])), 16))
    began = time.perf_counter()
    count = len(list(scored_photos(opened, usable_photos(input_files(paths)), 16)))
    print(count / (time.perf_counter() - began))


if __name__ == "__main__":
    {"formats": formats, "classify": classify, "serve": serve, "batches": batches}[sys.argv[1]](
        *map(Path, sys.argv[2:])
    )
