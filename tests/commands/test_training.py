"""Training from the command line: options end to end, kills, signals, and a learning rate that is too large."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.command_server import run_python
from tests.commands.test_flowers import around

pytestmark = pytest.mark.slow
FLOWERS = ["+experiment=flowers", "ingest.drawn_per_class=14", "run.targets=[train]", "train.checkpoint_seconds=0"]
SMALL = ["base=mobilenet_v1", "base.multiplier=0.25", "base.size=128", "base.weights=random"]
# The last phase has a hundred steps: enough time for a signal to arrive during one of them.
PHASES = "{trainable: [head], epochs: 3}, {trainable: [upper], epochs: 16, input_px: 96}"
INTERRUPTED = [
    *SMALL,
    "train=fine_tune",
    f"train.phases=[{PHASES}]",
    "train.image_px=128",
    "train.batch_size=8",
    "train.mixup=0.2",
    "head.dropout=0.2",
]
BITS = ("best.ckpt.data-00000-of-00001", "last.ckpt.data-00000-of-00001", "history.parquet")
LONGEST_SECONDS = 240


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pipeline", *FLOWERS, *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=folder, env=around(), encoding="utf-8", **pipes)


def pipeline(folder: Path, *arguments: str) -> tuple[int, str, str]:
    command = ("-m", "pipeline", *FLOWERS, *arguments)
    done = run_python(*command, folder=folder, environment=around(), seconds=LONGEST_SECONDS)
    return done.returncode, done.stdout, done.stderr


def latest(folder: Path) -> Path:
    return max((folder / "runs/flowers").glob("v*"))


def manifest(run: Path) -> dict:
    return json.loads((run / "manifest.json").read_text(encoding="utf-8"))


def bits(run: Path) -> dict[str, bytes]:
    return {name: (run / "artifacts/train" / name).read_bytes() for name in BITS}


@pytest.fixture(scope="module")
def garden(tmp_path_factory) -> tuple[Path, str]:
    """A folder with an uninterrupted run of the training that other tests interrupt, and its output."""
    folder = tmp_path_factory.mktemp("garden")
    code, out, error = pipeline(folder, *INTERRUPTED)
    assert code == 0, error + out
    return folder, out


def check_trained(run: Path, out: str) -> None:
    """Check the files and the output of a run with a training."""
    trained = run / "artifacts/train"
    rows = pq.read_table(trained / "history.parquet").to_pylist()
    measures = {"phase", "epoch", "loss", "accuracy", "validation_loss", "validation_accuracy"}
    assert {*measures, "learning_rate", "gradient_norm"} <= set(rows[0])
    assert [row["epoch"] for row in rows] == list(range(1, len(rows) + 1))
    facts = manifest(run)["stages"]["train"]["facts"]
    best = rows[facts["best_epoch"] - 1]
    assert facts["validation_top1"] == best["validation_accuracy"]
    assert list((trained / "logs").glob("events.*"))
    assert list((trained / "logs/hyperparameters").glob("events.*"))
    assert not (trained / "state").exists()
    assert re.search(r"^train +ran .* validation_top1 ", out, re.M)


def test_fine_tuning_writes_its_results(garden):
    folder, out = garden
    check_trained(min((folder / "runs/flowers").glob("v*")), out)


def test_training_from_scratch_writes_its_results(garden):
    """Other tests cover the other options: those of this file, and those of the whole job."""
    code, out, error = pipeline(garden[0], *SMALL, "train=scratch", "train.epochs=2")
    assert code == 0, error + out
    check_trained(latest(garden[0]), out)


def step_of(folder: Path) -> tuple[int, ...]:
    """Return phase, epoch and step of a running training's last checkpoint; empty before the first one."""
    for path in (folder / "runs/store/train").glob("*/partial/state/position.json"):
        position = json.loads(path.read_text(encoding="utf-8"))
        return position["phase"], position["epoch"], position["step"]
    return ()


def disturb(folder: Path, number: signal.Signals, phase: int, more_steps: int) -> tuple[int, str, tuple[int, ...]]:
    """Start the training, send a signal after `more_steps` further checkpoints in a phase, and return how it ended."""
    process = start(folder, *INTERRUPTED)
    before, seen, began = step_of(folder), set(), time.monotonic()
    while len(seen) < more_steps:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() - began < LONGEST_SECONDS
        now = step_of(folder)
        if now > before and now[0] >= phase:
            seen.add(now)
        time.sleep(0.005)
    process.send_signal(number)
    _, error = process.communicate(timeout=LONGEST_SECONDS)
    return process.returncode, error, step_of(folder)


KILLED_ONCE = ((signal.SIGKILL, 1, 2), (signal.SIGTERM, 1, 3))
KILLED_REPEATEDLY = ((signal.SIGKILL, 0, 3), *KILLED_ONCE, (signal.SIGINT, 1, 3))
"""A signal, the phase in which it arrives, and after how many checkpoints."""


@pytest.mark.parametrize(
    "disturbances",
    [
        pytest.param(KILLED_ONCE, id="once"),
        pytest.param(KILLED_REPEATEDLY, id="repeatedly", marks=pytest.mark.release),
    ],
)
def test_a_training_killed_and_stopped_ends_with_the_same_bits(garden, tmp_path, disturbances):
    places = []
    for number, phase, steps in disturbances:
        code, error, place = disturb(tmp_path, number, phase, steps)
        places.append(place)
        if number is signal.SIGKILL:
            assert (code, error) == (-signal.SIGKILL, "")
        else:
            check_stopped(tmp_path, code, error, number)
    assert places == sorted(set(places))
    code, out, error = pipeline(tmp_path, *INTERRUPTED)
    assert code == 0, error
    assert re.search(r"^train +resumes in phase 2, epoch \d+$", out, re.M)
    [undisturbed] = [
        run for run in (garden[0] / "runs/flowers").glob("v*") if "train.mixup=0.2" in manifest(run)["overrides"]
    ]
    assert bits(latest(tmp_path)) == bits(undisturbed)
    digests = [manifest(run)["stages"]["train"]["digest"] for run in (latest(tmp_path), undisturbed)]
    assert digests[0] == digests[1]


def check_stopped(folder: Path, code: int, error: str, number: signal.Signals) -> None:
    """Check the exit code and the message, and that the run's manifest contains the same message."""
    assert code == 128 + number
    said = rf"Stopped by {number.name} in phase 2 \(\w+\), epoch \d+, step \d+\. A checkpoint is kept\."
    first, second = error.splitlines()
    assert re.fullmatch(said, first)
    assert second == "Run the same command again to resume."
    found = manifest(latest(folder))
    assert (found["status"], found["error"].splitlines()) == ("failed", [first, second])


def test_a_learning_rate_that_is_too_large_is_explained(garden):
    code, _, error = pipeline(
        garden[0], *SMALL, "train=scratch", "train/optimizer=momentum", "train.optimizer.learning_rate=1e6"
    )
    assert code == 2
    first, second = error.splitlines()
    assert re.match(r"The (training|validation) loss .* of epoch \d+ of phase 1 \(all\), at a learning rate of ", first)
    assert "train.optimizer.learning_rate=1e+06" in second
    assert manifest(latest(garden[0]))["status"] == "failed"


def test_an_unknown_scope_is_explained(garden):
    code, _, error = pipeline(
        garden[0], *SMALL, "train=scratch", "train.phases=[{trainable: [MobilenetV1/Conv2d_13_pointwize+]}]"
    )
    assert code == 2
    first, second = error.splitlines()
    assert "'MobilenetV1/Conv2d_13_pointwize+'" in first
    assert "MobilenetV1/Conv2d_13_pointwise" in second
