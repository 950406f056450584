"""Benchmarks of training: speed compared with Keras and retrain.py, the cut, kills, imbalance, and repeated runs.

    python benchmarks/training.py step                                    a step compared with Keras; or name networks
    python benchmarks/training.py methods ../shared/data/flower_photos ../shared/weights/mobilenet_v1_1.0_224
                                                                          compared with retrain.py and the Keras guide
    python benchmarks/training.py cut ../shared/data/flower_photos 100    time saved by the cut, 100 photos per class
    python benchmarks/training.py kills ../shared/data/flower_photos 25   25 kills, and equal bits at the end
    python benchmarks/training.py imbalance ../shared/data/flower_photos  two scarce classes, with and without balance
    python benchmarks/training.py salts ../shared/data/flower_photos      repeat with other splits, with 50 more photos

Each subcommand compares within one run. Run it on an idle machine. All except `step` run the command line.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import platform
import random
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

from ingest import run, scratch
from training_methods import methods
from training_step import step

LATEST = Path("runs/flowers/latest")
CUTS = {"inception_v3": "InceptionV3/Mixed_7b+", "efficientnet_lite0": "EfficientnetLite0/expanded_conv_13+"}
CUT_EPOCHS = 4
PRECISIONS = {
    "float32": ["train.fused.bfloat16=never", "train.cache.bfloat16=never"],
    "as chosen by default": [],
}
KILLED_PHOTOS = 30
"""Photos per class: the training takes about twenty seconds."""
SCARCITY = 20
SCARCE_CLASSES = 2
DRAWS = 3
TESTED, VALIDATED = 0.2, 0.1
MORE = 50


def machine() -> str:
    """Return a description of the machine and the versions."""
    from slimline.stages.backend.hardware import has_fast_bfloat16

    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "?")
    bfloat16 = "with" if has_fast_bfloat16() else "without"
    return (
        f"{os.cpu_count()} cores of {model}, {bfloat16} fast bfloat16, load {os.getloadavg()[0]:.1f} at the start;"
        f" Python {platform.python_version()}, TensorFlow {version('tensorflow')}, Keras {version('keras')}"
    )


def images_of(folder: Path) -> str:
    return f'ingest.images="{folder.resolve()}"'


def copy_photos(folder: Path, target: Path, per_class: int) -> None:
    """Copy the first photos of each class's folder."""
    for one in sorted(path for path in folder.iterdir() if path.is_dir()):
        (target / one.name).mkdir(parents=True)
        for path in sorted(one.iterdir())[:per_class]:
            shutil.copy(path, target / one.name)


def stages_of(folder: Path) -> dict[str, Any]:
    """Return the stages' entries in the latest run's manifest."""
    manifest = json.loads((folder / LATEST / "manifest.json").read_text(encoding="utf-8"))
    found: dict[str, Any] = manifest["stages"]
    return found


def cut(folder: str, per_class: str = "10000") -> None:
    """Compare epochs from cached outputs at the cut with epochs that compute them again: seconds and losses."""
    with scratch() as base:
        copy_photos(Path(folder), base / "photos", int(per_class))
        for network, scope in CUTS.items():
            for precision, chosen in PRECISIONS.items():
                found = {}
                for way, budget_mb in (("cached", 10**6), ("recomputed", 0)):
                    (base / network / precision / way).mkdir(parents=True)
                    arguments = [f"base={network}", f"train.cache.budget_mb={budget_mb}", *chosen]
                    found[way] = train_above(base / network / precision / way, base / "photos", scope, arguments)
                    print(f"{network} from {scope}, {precision}, {way}: {found[way][0]}", flush=True)
                (cached, curves), (recomputed, other) = found.values()
                seconds = [statistics.median(one["epochs"]) for one in (cached, recomputed)]
                pairs = [pair for name in curves for pair in zip(curves[name], other[name], strict=True)]
                apart = max(abs(one - two) / max(abs(two), 1e-9) for one, two in pairs)
                print(
                    f"  {seconds[0]:.2f} and {seconds[1]:.2f} s per epoch, {seconds[1] / seconds[0]:.1f} times as fast;"
                    f" losses differ by at most {max(abs(one - two) for one, two in pairs):.1e} (relative {apart:.1e})"
                )


def train_above(
    folder: Path, photos: Path, scope: str, arguments: list[str]
) -> tuple[dict[str, Any], dict[str, list[float]]]:
    """Train the layers from a scope up; return the seconds of the stage and of its epochs except the first, and losses.

    The time of an epoch, including validation, is the difference of the times at which TensorBoard's files received its
    loss and that of the previous epoch.
    """
    import pyarrow.parquet as pq

    from slimline.stages.backend.tensorflow import tf

    phase = f"{{trainable:[{scope}],epochs:{CUT_EPOCHS},augment:false,batch_size:32}}"
    weights = "base.weights=random" if "inception" in arguments[0] else "base.weights=imagenet"
    settings = [f"train.phases=[{phase}]", "train.patience_epochs=100", "train.optimizer.learning_rate=0.001"]
    run(folder, images_of(photos), *arguments, weights, *settings, "run.targets=[train]")
    artifact = folder / LATEST / "artifacts/train"
    ends = [
        event.wall_time
        for path in sorted((artifact / "logs").glob("events*"))
        for event in tf.compat.v1.train.summary_iterator(str(path))
        for value in event.summary.value
        if value.tag == "loss"
    ]
    table = pq.read_table(artifact / "history.parquet")
    curves = {name: table[name].to_pylist() for name in ("loss", "validation_loss")}
    epochs = [round(after - before, 3) for before, after in pairwise(ends)]
    return {"stage": stages_of(folder)["train"]["seconds"], "epochs": epochs}, curves


def kills(folder: str, count: str = "25") -> None:
    """Kill and restart a training at random moments; compare its bits with those of an uninterrupted training."""
    draw = random.Random(0)
    with scratch() as base:
        photos, whole, broken = (base / name for name in ("photos", "whole", "broken"))
        copy_photos(Path(folder), photos, KILLED_PHOTOS)
        settings = ["train=fine_tune", "train.epochs=6", "train.batch_size=8", "train.checkpoint_seconds=0.5"]
        arguments = [images_of(photos), *settings]
        for one in (whole, broken):
            one.mkdir()
            run(one, *arguments, "run.targets=[features,head]")
        began = time.perf_counter()
        run(whole, *arguments, "run.targets=[train]")
        seconds = time.perf_counter() - began
        print(f"uninterrupted: {seconds:.1f} s")
        killed = 0
        while True:
            process = run(broken, *arguments, "run.targets=[train]", wait=False)
            try:
                if process.wait(draw.uniform(0.2, 1.0) * seconds if killed < int(count) else None) != 0:
                    raise SystemExit("the training failed")
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                killed += 1
                print(f"kill {killed}: {position_of(broken)}", flush=True)
                continue
            differing = [name for name, digest in trained(whole).items() if trained(broken).get(name) != digest]
            print(f"ended after {killed} kills in all: {f'DIFFERENT {differing}' if differing else 'identical'}")
            if killed == int(count):
                break
            shutil.rmtree(broken / "runs/store/train")


def position_of(folder: Path) -> str:
    """Return a description of the position from which the unfinished training in a folder would resume."""
    paths = list(folder.glob("runs/store/train/*/partial/state/position.json"))
    if not paths:
        return "before the first checkpoint"
    position = json.loads(paths[0].read_text(encoding="utf-8"))
    return ", ".join(f"{name} {position[name]}" for name in ("phase", "epoch", "step"))


def trained(folder: Path) -> dict[str, str]:
    """Return the digests of the latest run's files of best and last weights, and of its history."""
    artifact = folder / LATEST / "artifacts/train"
    paths = [*artifact.glob("best.ckpt.*"), *artifact.glob("last.ckpt.*"), artifact / "history.parquet"]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def imbalance(folder: str) -> None:
    """Train with two classes reduced to a twentieth of their training photos, with and without `train.balance`."""
    differences = []
    for number in range(DRAWS):
        with scratch() as base:
            scarce = write_imbalanced(Path(folder).resolve(), base / "photos.csv", random.Random(number))
            found = {}
            for balance in ("false", "true"):
                settings = ["ingest.split.by=given", f"train.balance={balance}", "run.targets=[evaluate]"]
                run(base, images_of(base / "photos.csv"), *settings)
                metrics = json.loads((base / LATEST / "metrics.json").read_text(encoding="utf-8"))
                found[balance] = 100 * metrics["balanced_accuracy"]
            differences.append(found["true"] - found["false"])
            print(
                f"draw {number}, {' and '.join(scarce)} scarce: balanced accuracy {found['false']:.1f}%,"
                f" with balance {found['true']:.1f}%, {differences[-1]:+.1f} points",
                flush=True,
            )
    print(f"balance: {statistics.mean(differences):+.1f} points of balanced accuracy over {DRAWS} draws")


def write_imbalanced(folder: Path, manifest: Path, draw: random.Random) -> list[str]:
    """Write a manifest of all photos, without most training photos of two classes; return these classes."""
    classes = sorted(path.name for path in folder.iterdir() if path.is_dir())
    scarce = draw.sample(classes, SCARCE_CLASSES)
    with manifest.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("path", "label", "split"))
        for name in classes:
            photos = sorted((folder / name).iterdir())
            draw.shuffle(photos)
            tested = round(TESTED * len(photos))
            trained = tested + round(VALIDATED * len(photos))
            last = trained + (len(photos) - trained) // (SCARCITY if name in scarce else 1)
            for begin, end, split in ((0, tested, "test"), (tested, trained, "validation"), (trained, last, "train")):
                rows.writerows((path, name, split) for path in photos[begin:end])
    return scarce


def salts(folder: str) -> None:
    """Run the whole command, then with other splits, then with more photos; print the seconds and computed features."""
    photos = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    later = set(random.Random(0).sample(photos, MORE))
    with scratch() as base:
        own = base / "photos"

        def add(paths: list[Path]) -> None:
            for path in paths:
                target = own / path.relative_to(folder)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target)

        def timed(what: str, *arguments: str) -> None:
            began = time.perf_counter()
            run(base, images_of(own), *arguments)
            seconds = time.perf_counter() - began
            computed = stages_of(base)["features"]["facts"].get("computed", "no")
            print(f"{what}: {seconds:.1f} s, {computed} features computed", flush=True)

        add([path for path in photos if path not in later])
        timed("cold")
        for salt in ("1", "2", "3"):
            timed(f"salt {salt}", f'ingest.split.salt="{salt}"')
        add(sorted(later))
        timed(f"{MORE} more photos")


if __name__ == "__main__":
    work: dict[str, Callable[..., None]] = {one.__name__: one for one in (step, methods, cut, kills, imbalance, salts)}
    print(machine(), flush=True)
    work[sys.argv[1]](*sys.argv[2:])
